"""Devices, and what two environments differ in."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
import torch

from adasise_bench.records import environment
from adasise_bench.records.environment import describe, differences
from adasise_bench.utils.devices import machine, pick_device
from adasise_bench.utils.errors import DeviceError


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pick_device("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda:0")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(DeviceError, match="cuda:2"):
        pick_device("cuda:2")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == torch.device("cpu")


def test_description_names_versions_and_device() -> None:
    facts = describe(torch.device("cpu"), "fp32", {"sise": "sise-v1"})
    assert facts["torch"] == torch.__version__
    assert facts["torchray"] == "1.0.0.2"
    assert facts["device_name"]
    assert facts["precision"] == "fp32"
    assert facts["definitions"] == {"sise": "sise-v1"}


def test_differences_are_dotted_and_short() -> None:
    before = {"tool": {"version": "1", "commit": "a"}, "torch": "2", "gone": 1}
    now = {"tool": {"version": "1", "commit": "b"}, "torch": "2", "new": "x" * 100}
    assert differences(before, now) == [
        "gone: 1 -> None",
        f"new: None -> {'x' * 57}...",
        "tool.commit: a -> b",
    ]


def test_a_processor_has_a_name_without_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object, **__: object) -> str:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "read_text", absent)
    assert machine(torch.device("cpu"))[0] in (platform.processor(), platform.machine())


def test_the_commit_says_whether_the_sources_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"rev-parse": "0123456789ab", "status": ""}
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(environment, "_git", lambda _root, verb, *_: answers[verb])
    assert describe(torch.device("cpu"), "fp32", {})["tool"]["commit"] == "0123456789ab"
    answers["status"] = " M adasise_bench/metrics/pixels.py"
    changed = describe(torch.device("cpu"), "fp32", {})["tool"]["commit"]
    assert changed[:13] == "0123456789ab+"
    assert int(changed[13:], 16) >= 0
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert describe(torch.device("cpu"), "fp32", {})["tool"]["commit"] is None


def test_no_git_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> str:
        raise FileNotFoundError(2, "git")

    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(environment, "_git", absent)
    assert describe(torch.device("cpu"), "fp32", {})["tool"]["commit"] is None
