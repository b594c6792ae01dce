"""A run says which device it got, and what does not fit it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from drawn_scenes import settings

from adasise_bench.cli import main
from adasise_bench.run import start_notes
from adasise_bench.utils.precision import PrecisionName


@pytest.fixture(autouse=True)
def bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without NVIDIA's driver, whose processor is nothing special."""
    monkeypatch.setattr(start_notes, "_DRIVER", tmp_path / "driver")
    monkeypatch.setattr(start_notes, "_DEVICES", tmp_path)
    monkeypatch.setattr(start_notes, "_CPU_INFO", tmp_path / "cpuinfo")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    return tmp_path


def notes(*devices: str, precision: PrecisionName = "fp32") -> list[str]:
    return list(start_notes.start_notes(devices, precision))


def test_a_run_names_its_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    (line,) = notes("auto")
    assert line.startswith("device: cpu (")
    assert line.endswith(", 3 threads)")
    assert notes("cpu", "cpu") == ["device: cpu, cpu"]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    assert notes("cuda:1") == ["device: cuda:1 (card 1)"]
    assert notes("cuda:0", "cuda:1") == ["device: cuda:0, cuda:1"]


def test_the_command_line_says_it_on_stderr(tmp_path: Path, bare_machine: Path) -> None:
    config = tmp_path / "scenes.json"
    config.write_text(settings(device="auto", limit=1, methods=["centre"]).model_dump_json())
    (bare_machine / "nvidia0").touch()
    result = CliRunner().invoke(main, ["run", "--config", str(config), "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    first, second = result.stderr.splitlines()[:2]
    assert first.startswith("device: cpu (")
    assert second.startswith("warning: an NVIDIA driver is installed, but torch sees no GPU")
    assert "device:" not in result.stdout


@pytest.mark.parametrize("sign", ["driver", "nvidia0", "nvidia-smi"])
def test_a_gpu_that_torch_does_not_see_is_told(
    sign: str, bare_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (bare_machine / sign).touch(mode=0o755)
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    assert "needs a driver for CUDA 13.0" in notes("auto")[1]
    assert len(notes("cpu")) == 1
    monkeypatch.setattr(torch.version, "cuda", None)
    assert "was built without CUDA" in notes("auto")[1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "card")
    (line,) = notes("auto")
    assert line.endswith("(card)")


@pytest.mark.parametrize(
    ("info", "precision", "told"),
    [
        ("", "fp32", None),
        ("flags : avx512_bf16", "fp32", None),
        ("flags : avx2", "tf32", None),
        ("flags : avx2", "fp16", "as in fp32; better choose fp32"),
        ("flags : avx2 amx_bf16", "fp16", "better choose fp32 or bf16, for which this CPU has instructions"),
        ("flags : avx2 avx512_bf16", "bf16", "this CPU has instructions for it"),
        ("Features : asimd bf16", "bf16", "this CPU has instructions for it"),
        ("flags : avx2 avx_notbf16", "bf16", "seems to have no instructions for it"),
        ("flags : avx2", "int8", "all of them are scored in fp32"),
    ],
)
def test_what_a_processor_is_slow_in_is_told(
    info: str, precision: PrecisionName, told: str | None, bare_machine: Path
) -> None:
    (bare_machine / "cpuinfo").write_text(f"processor : 0\n{info}\n")
    found = notes("cpu", precision=precision)[1:]
    assert len(found) == (told is not None)
    assert not told or told in found[0]


def test_a_gpu_gets_no_advice_for_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "card")
    assert notes("cuda:0", precision="fp16") == ["device: cuda:0 (card)"]
