"""Which devices of this machine a run uses."""

from __future__ import annotations

import re

import torch

from adasise_bench.records import environment
from adasise_bench.utils.errors import ConfigError


def pick_devices(listed: str | None, device: str) -> list[str]:
    """The devices of a run, one worker each.

    Args:
        listed: what ``--devices`` says: ``all``, ``cuda`` (all GPUs), or names with commas between them;
            ``cpu`` may come several times.
        device: what the configuration says.

    Raises:
        ConfigError: no such list.
        DeviceError: no such GPU.
    """
    gpus = [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if listed is None:
        return gpus if device == "auto" and len(gpus) > 1 else [device]
    names = [name.strip() for name in listed.split(",") if name.strip()]
    if names in (["all"], ["cuda"]):
        return gpus or [str(environment.pick_device("cuda" if names == ["cuda"] else "cpu"))]
    if not names or not all(re.fullmatch(r"cpu|cuda:\d+", name) for name in names):
        raise ConfigError(f"--devices {listed}: write all, cuda, or a list such as cuda:0,cuda:1 or cpu,cpu")
    twice = {name for name in names if name != "cpu" and names.count(name) > 1}
    if twice:
        raise ConfigError(f"--devices: {sorted(twice)[0]} comes twice; a GPU has one worker")
    for name in names:
        environment.pick_device(name)
    return names
