"""Devices, and what two environments differ in."""

from __future__ import annotations

import pytest
import torch

from adasise_bench import __version__
from adasise_bench.records import environment
from adasise_bench.records.environment import describe, differences
from adasise_bench.utils.devices import pick_device
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


def test_description_names_versions_and_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "tool_commit", lambda: "0123456789ab")
    facts = describe(torch.device("cpu"), "fp32", {"sise": "sise-v1"})
    assert facts["tool"] == {"version": __version__, "commit": "0123456789ab"}
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
