"""Which devices of this machine a run uses."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch

from adasise_bench.utils.errors import ConfigError, DeviceError
from adasise_bench.utils.hardware import cpu_name


def pick_devices(listed: Sequence[str] | None, device: str) -> list[str]:
    """The devices of a run, one worker each.

    Args:
        listed: what ``--devices`` says: ``all``, ``cuda`` (all GPUs), or names, of which ``cpu`` may come
            several times; ``None`` where the option was not given.
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
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; a GPU always with its number.

    A plain ``cuda`` is the first GPU that this process sees. Without a number it would differ from the device
    of its own tensors, and ``torch.cuda.set_device`` would refuse it.

    Raises:
        DeviceError: no such CUDA device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device("cuda:0" if name == "cuda" else name)
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise DeviceError(f"--device {name}: torch {torch.__version__} sees no such GPU; use --device cpu")
    return device


def machine(device: torch.device) -> tuple[str, int, str]:
    """What the fastest way to run a network depends on: the device's name, CPU threads, torch's version."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else cpu_name()
    return name, torch.get_num_threads(), torch.__version__
