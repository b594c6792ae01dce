"""Which devices a run gets, and which launcher, with GPUs that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from drawn_scenes import settings

from adasise_bench.cli import main
from adasise_bench.run.launchers.choice import choose_launcher
from adasise_bench.run.launchers.dispatcher import Dispatcher
from adasise_bench.run.launchers.in_process import InProcess
from adasise_bench.utils.devices import pick_devices
from adasise_bench.utils.errors import ConfigError, DeviceError


@pytest.mark.parametrize(
    ("listed", "device", "gpus", "picked"),
    [
        (None, "auto", 0, ["auto"]),
        (None, "auto", 1, ["auto"]),
        (None, "auto", 2, ["cuda:0", "cuda:1"]),
        (None, "cpu", 2, ["cpu"]),
        (None, "cuda", 2, ["cuda"]),
        (None, "cuda:1", 2, ["cuda:1"]),
        (["all"], "auto", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        (["cuda"], "auto", 1, ["cuda:0"]),
        (["all"], "auto", 0, ["cpu"]),
        (["cpu", "cpu"], "auto", 0, ["cpu", "cpu"]),
        (["cuda:1", "cuda:0"], "auto", 2, ["cuda:1", "cuda:0"]),
    ],
)
def test_devices(
    monkeypatch: pytest.MonkeyPatch, listed: list[str] | None, device: str, gpus: int, picked: list[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert pick_devices(listed, device) == picked


@pytest.mark.parametrize("listed", ["", "gpu", "cuda:x", "cpu,all", "cuda:0,cuda:0", "cuda:-1"])
def test_other_lists_are_refused(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match="--devices"):
        pick_devices(listed.split(",") if listed else [], "auto")


@pytest.mark.parametrize("listed", ["cuda", "cuda:0,cpu"])
def test_absent_gpus_are_named(monkeypatch: pytest.MonkeyPatch, listed: str) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="no such GPU"):
        pick_devices(listed.split(",") if listed else [], "auto")


def test_one_device_needs_no_other_process(tmp_path: Path) -> None:
    assert isinstance(choose_launcher(settings(), tmp_path, "local", None, None), InProcess)
    assert isinstance(choose_launcher(settings(), tmp_path, "local", ["cpu"], None), InProcess)
    assert isinstance(choose_launcher(settings(), tmp_path, "local", ["cpu", "cpu"], None), Dispatcher)


@pytest.mark.parametrize(
    "options",
    [
        ["--device", "cpu", "--devices", "cpu,cpu"],
        ["--devices", ","],
        ["--workers", "2"],
        ["--launcher", "ray", "--devices", "cpu,cpu"],
        ["--shard", "3/2"],
    ],
)
def test_options_that_do_not_belong_together(tmp_path: Path, options: list[str]) -> None:
    config = tmp_path / "scenes.json"
    config.write_text(settings(device="auto").model_dump_json())
    result = CliRunner().invoke(main, ["run", "--config", str(config), "--output", str(tmp_path), *options])
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
