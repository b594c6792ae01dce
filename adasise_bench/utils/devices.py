"""Which devices of this machine a run uses."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from adasise_bench.utils.errors import ConfigError, DeviceError
from adasise_bench.utils.hardware import cpu_name

_WITHOUT_FLOAT64 = frozenset({"mps"})
"""Types of devices that cannot hold float64."""


def pick_devices(listed: Sequence[str] | None, device: str) -> list[str]:
    """The devices of a run, one worker each.

    Args:
        listed: what ``--devices`` says: ``all``, ``cuda`` (all GPUs), or names, of which ``cpu`` may come
            several times; ``None`` where the option was not given. Apple's GPU is named by ``--device``.
        device: what the configuration says.

    Raises:
        ConfigError: no such list.
        DeviceError: no such GPU.
    """
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if listed is None:
        return gpus if device == "auto" and len(gpus) > 1 else [device]
    names = list(listed)
    if names in (["all"], ["cuda"]):
        return gpus or [str(pick_device("cuda" if names == ["cuda"] else "cpu"))]
    if not names or not all(re.fullmatch(r"cpu|cuda:\d+", name) for name in names):
        given = ",".join(names)
        raise ConfigError(f"--devices {given}: write all, cuda, or a list such as cuda:0,cuda:1 or cpu,cpu")
    twice = {name for name in names if name != "cpu" and names.count(name) > 1}
    if twice:
        raise ConfigError(f"--devices: {sorted(twice)[0]} is named twice; a GPU can have only one worker")
    for name in names:
        pick_device(name)
    return names


def pick_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda``, ``cuda:N`` or ``mps``; a GPU always with its number.

    A plain ``cuda`` is the first GPU that this process sees. Without a number it would differ from the device
    of its own tensors, and ``torch.cuda.set_device`` would refuse it. ``auto`` never chooses ``mps``, because
    no result has been compared on it yet.

    Raises:
        ConfigError: ``mps``, and torch does not offer it here.
        DeviceError: no such CUDA device.
    """
    if name == "mps" and (problem := missing_mps()):
        raise ConfigError(f"device: mps: {problem}; use --device cpu")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(f"{name}:0" if name in ("cuda", "mps") else name)
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise DeviceError(f"--device {name}: torch {torch.__version__} sees no such GPU; use --device cpu")
    return device


def missing_mps() -> str:
    """Why torch cannot use Apple's GPU here; empty if it can."""
    if torch.backends.mps.is_available():
        return ""
    if not torch.backends.mps.is_built():
        return (
            f"torch {torch.__version__} was built without MPS, which builds for macOS on Apple's chips have"
        )
    return f"torch {torch.__version__} finds no GPU by Apple; it needs one, and a newer macOS"


def float64_device(device: torch.device) -> torch.device:
    """Where float64 is computed for tensors of a device: there, or on the CPU if it has no float64."""
    return torch.device("cpu") if device.type in _WITHOUT_FLOAT64 else device


def on_float64_device(values: torch.Tensor) -> torch.Tensor:
    """The same values where float64 can be computed for them; not copied if they are there already."""
    return values.to(float64_device(values.device))


def to_float64(values: torch.Tensor) -> torch.Tensor:
    """The values as float64, on the device that :func:`float64_device` names."""
    return on_float64_device(values).double()  # in two steps, because one could convert on the first device


def machine(device: torch.device) -> tuple[str, int, str]:
    """What the fastest way to run a network depends on: the device's name, CPU threads, torch's version."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"GPU of {cpu_name()}" if device.type == "mps" else cpu_name()
    return name, torch.get_num_threads(), torch.__version__
