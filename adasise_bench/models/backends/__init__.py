"""What passes whole batches through a network: torch, or an inference engine that must agree with it."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from adasise_bench.models.backends.base import Backend
from adasise_bench.models.backends.openvino import OpenVino
from adasise_bench.models.backends.torch import Torch
from adasise_bench.models.backends.torch_compile import TorchCompile, TorchCompileGraphs
from adasise_bench.models.engine import BackendChoice, BackendName
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.precision import PrecisionName

BACKENDS: Mapping[BackendName, type[Backend]] = {
    kind.name: kind for kind in (Torch, OpenVino, TorchCompile, TorchCompileGraphs)
}

CHOICES: Mapping[BackendChoice, tuple[BackendName, ...]] = {
    "torch": ("torch",),
    "openvino": ("openvino",),
    "torch-compile": ("torch-compile", "torch-compile-graphs"),
    "auto": tuple(BACKENDS),
}
"""The backends that each value of ``engine.backend`` stands for."""


def usable(choice: BackendChoice, device: torch.device, precision: PrecisionName) -> tuple[BackendName, ...]:
    """The backends of a choice that are installed and run on a device in a precision.

    Raises:
        ConfigError: there is none; one line that says why, and what to do.
    """
    refusals = {name: BACKENDS[name].refusal(device, precision) for name in CHOICES[choice]}
    found = tuple(name for name, refusal in refusals.items() if not refusal)
    if not found:
        name = "openvino" if "openvino" in refusals else next(iter(refusals))
        other = "choose another precision" if precision == "int8" else "set engine.backend to torch or auto"
        raise ConfigError(f"engine.backend={name}: {refusals[name]}, or {other}")
    return found
