"""What a user should know when a run starts: its device, and settings that do not fit that device."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from adasise_bench.utils.devices import machine, pick_device
from adasise_bench.utils.precision import PrecisionName

_DRIVER = Path("/proc/driver/nvidia")
_DEVICES = Path("/dev")
_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def start_notes(devices: Sequence[str], precision: PrecisionName) -> Iterator[str]:
    """One line that names the devices, then those of :func:`misfits`.

    Args:
        devices: the workers' devices, as :func:`adasise_bench.utils.devices.pick_devices` gives them.
        precision: arithmetic of the scoring passes.

    Raises:
        DeviceError: no such device.
    """
    yield f"device: {_described([pick_device(name) for name in devices])}"
    yield from misfits(devices, precision)


def misfits(devices: Sequence[str], precision: PrecisionName) -> Iterator[str]:
    """One line if there is a GPU that cannot be used, and one for a precision that does not suit a CPU.

    Args:
        devices: the workers' devices, by name or ``auto``.
        precision: arithmetic of the scoring passes.

    Raises:
        DeviceError: no such device.
    """
    picked = [pick_device(name) for name in devices]
    if "auto" in devices and picked[0].type == "cpu" and nvidia_driver_is_here():
        yield _unseen_gpu()
    if any(device.type == "cpu" for device in picked):
        yield from _cpu_precision(precision)


def nvidia_driver_is_here() -> bool:
    """Whether this machine seems to have an NVIDIA GPU, whatever torch says."""
    return _DRIVER.exists() or shutil.which("nvidia-smi") is not None or any(_DEVICES.glob("nvidia[0-9]*"))


def cpu_computes_bf16() -> bool:
    """Whether the processor has instructions for bfloat16; this is known only on Linux."""
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return not _BF16_FLAGS.isdisjoint(flags.split())


def _described(devices: Sequence[torch.device]) -> str:
    """Several devices are named as in torch, because asking a GPU for its name takes some of its memory."""
    if len(devices) > 1:
        return ", ".join(map(str, devices))
    name, threads, _ = machine(devices[0])
    count = f", {threads} thread{'s' if threads > 1 else ''}" if devices[0].type == "cpu" else ""
    return f"{devices[0]} ({name}{count})"


def _unseen_gpu() -> str:
    problem = "warning: an NVIDIA driver is installed, but torch sees no GPU, so this runs on the CPU: "
    if torch.version.cuda is None:
        return f"{problem}torch {torch.__version__} was built without CUDA; install a build with CUDA"
    return (
        f"{problem}torch {torch.__version__} needs a driver for CUDA {torch.version.cuda} (see nvidia-smi; "
        "update the driver, or install torch for an older CUDA) and a GPU that CUDA_VISIBLE_DEVICES does not "
        "hide; --device cpu chooses the CPU without this line"
    )


def _cpu_precision(precision: PrecisionName) -> Iterator[str]:
    has_bf16 = cpu_computes_bf16()
    if precision == "fp16":
        better = "fp32 or bf16, for which this CPU has instructions" if has_bf16 else "fp32"
        yield (
            "precision=fp16: on the CPUs where it was measured, a forward pass took about five times as long "
            f"as in fp32; better choose {better}"
        )
    elif precision == "bf16" and has_bf16:
        yield (
            "precision=bf16: this CPU has instructions for it; on CPUs where it was measured, a forward pass "
            "was 1.7 to 2 times as fast as in fp32"
        )
    elif precision == "int8":
        yield (
            "precision=int8: where a sample of an explanation's masks disagrees with fp32, all of them are "
            "scored in fp32; maps that pass can still differ by points (see docs/performance.md)"
        )
    elif precision == "bf16":
        yield "precision=bf16: this CPU seems to have no instructions for it, so fp32 may be faster"
