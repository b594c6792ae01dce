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
from adasise_bench.utils.devices import float64_device, machine, pick_device, pick_devices
from adasise_bench.utils.errors import ConfigError, DeviceError
from adasise_bench.utils.process_state import seeded
from adasise_bench.utils.timing import PhaseClock, watch_peak_memory


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


def test_apples_gpu_is_taken_where_torch_offers_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("mps") == torch.device("mps:0")
    assert pick_devices(None, "mps") == ["mps"]
    assert pick_device("auto") == torch.device("cpu")
    assert float64_device(pick_device("mps")) == torch.device("cpu")
    assert float64_device(torch.device("cuda:1")) == torch.device("cuda:1")
    assert machine(pick_device("mps"))[0].startswith("GPU of ")


@pytest.mark.parametrize(
    ("built", "reason"), [(False, "was built without MPS"), (True, "finds no GPU by Apple")]
)
def test_where_torch_has_no_mps_the_reason_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, built: bool, reason: str
) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_built", lambda: built)
    config = tmp_path / "scenes.json"
    config.write_text(settings(device="auto").model_dump_json())
    arguments = ["run", "--config", str(config), "--output", str(tmp_path / "run"), "--device", "mps"]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert "use --device cpu" in result.stderr
    assert sum(line.startswith("Error:") for line in result.stderr.splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        *(
            (f"precision={name}", "has not been compared with fp32")
            for name in ("tf32", "bf16", "fp16", "int8")
        ),
        ("deterministic=true", "does not promise to repeat"),
    ],
)
def test_what_mps_cannot_promise_is_refused_in_one_line(tmp_path: Path, setting: str, reason: str) -> None:
    config = tmp_path / "scenes.json"
    config.write_text(settings(device="auto").model_dump_json())
    arguments = ["run", "--config", str(config), "--output", str(tmp_path / "run"), "--device", "mps"]
    result = CliRunner().invoke(main, [*arguments, "--set", setting])
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.output.count("\n") == 1


def test_ray_does_not_fall_back_to_the_cpu_for_mps(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with pytest.raises(ConfigError, match="Ray does not hand out Apple's GPU"):
        choose_launcher(settings(device="mps"), tmp_path, "ray", None, None)


def test_time_on_mps_is_taken_when_its_work_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[str] = []
    monkeypatch.setattr(torch.mps, "synchronize", lambda: waits.append("waited"))
    with PhaseClock(torch.device("mps:0")).phase("scoring"):
        waits.append("work")
    assert waits == ["waited", "work", "waited"]
    assert watch_peak_memory(torch.device("mps:0"))() is None


def test_random_numbers_of_mps_are_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    restored: list[torch.Tensor] = []
    monkeypatch.setattr(torch.mps, "get_rng_state", lambda: torch.tensor([3, 4], dtype=torch.uint8))
    monkeypatch.setattr(torch.mps, "set_rng_state", restored.append)
    with seeded(1, torch.device("mps:0")):
        assert not restored
    assert [state.tolist() for state in restored] == [[3, 4]]
