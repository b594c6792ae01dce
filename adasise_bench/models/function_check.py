"""Refuses networks whose outputs do not depend on the picture alone."""

from __future__ import annotations

import copy
import random
from typing import Any

import numpy as np
import torch
from torch import nn

from adasise_bench.models.score import image_level
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.process_state import seeded

_ROUNDING = 1e-4
"""Outputs that differ by no more than this share of the largest one may differ by rounding. torch's kernels
depend on the batch size, and move float32 outputs by up to about 2e-5."""

_ROUNDING_OF_DOUBLE = 1e-9

_REPEATS = 20
"""How often the same input passes a network that draws random numbers, to notice even a rare change."""

_RANDOM = (
    "its forward pass draws random numbers; dropout, stochastic depth and noise must depend on "
    "`self.training`, as in F.dropout(x, p, training=self.training)"
)


def refuse_no_function(where: str, module: nn.Module, probes: torch.Tensor) -> None:
    """Pass inputs alone, then again, and then beside others, and compare their outputs.

    A saliency method passes one picture through a network thousands of times, in batches of any size. The
    outputs can be compared only if they depend on nothing but the picture.

    Args:
        where: the name of the network in messages.
        module: the network, in evaluation mode. What its forward passes change is not restored.
        probes: (2, 3, H, W), two inputs that differ in their statistics.

    Raises:
        ConfigError: the outputs differ by more than rounding. The message says whether the network draws
            random numbers, remembers earlier inputs, or looks at the other inputs of the batch.
    """
    with seeded(0, probes.device), arithmetic("fp32", probes.device):
        before = random_state(probes.device)
        first = _outputs(module, probes[:1])
        drawn = random_state(probes.device) != before
        again = [_outputs(module, probes[:1]) for _ in range(_REPEATS if drawn else 2)]
        if any(_differ(first, other, _ROUNDING) for other in again):
            why = _RANDOM if drawn else "its forward pass remembers earlier inputs, or draws random numbers"
            raise ConfigError(f"{where}: gives other outputs when the same input comes again: {why}")
        if _mixes(module, probes, _ROUNDING) and not _is_rounding(module, probes):
            raise ConfigError(
                f"{where}: gives an input other outputs beside other inputs than alone: "
                f"{_mixing_part(module)}; every input must be normalised by itself, or by stored statistics"
            )


def refuse_random_numbers(where: str, module: nn.Module, image: torch.Tensor) -> None:
    """Refuse a network that draws random numbers for a deterministic run, even if the outputs do not change.

    Args:
        where: the name of the network in messages.
        module: the network.
        image: (N, 3, H, W) network input.

    Raises:
        ConfigError: a forward pass drew random numbers of torch, NumPy or Python.
    """
    with seeded(0, image.device):
        before = random_state(image.device)
        _outputs(module, image)
        if random_state(image.device) != before:
            raise ConfigError(f"deterministic: {where}: {_RANDOM}")


def random_state(device: torch.device) -> tuple[Any, ...]:
    """The states of the random number generators of torch (CPU and device), NumPy and Python, to compare."""
    _, words, *rest = np.random.get_state()
    states = [torch.get_rng_state()]
    if device.type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return (
        *(state.numpy().tobytes() for state in states),
        np.asarray(words).tobytes(),
        tuple(rest),
        random.getstate(),
    )


@torch.no_grad()
def _outputs(module: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    """(N, C) outputs at image level. The network gets a copy, because it may change its input."""
    return image_level(module(inputs.clone()))


def _mixes(module: nn.Module, probes: torch.Tensor, rounding: float) -> bool:
    """Whether the outputs of an input in batches of two and five differ from those of the input alone."""
    alone = torch.cat([_outputs(module, probe[None]) for probe in probes])
    return any(
        _differ(alone[order], _outputs(module, probes[order]), rounding)
        for order in ([0, 1], [1, 0, 1, 1, 0])
    )


def _is_rounding(module: nn.Module, probes: torch.Tensor) -> bool:
    """Whether the differences between batches disappear in float64, so that they come from rounding alone.

    A network may amplify rounding, or compute in half precision. If it cannot be copied, or does not run in
    float64, the answer is no.
    """
    try:
        exact = to_float64(probes)
        return not _mixes(copy.deepcopy(module).to(exact.device).double(), exact, _ROUNDING_OF_DOUBLE)
    except Exception:  # foreign code may fail in any way
        return False


def _mixing_part(module: nn.Module) -> str:
    """The part of the network that probably makes outputs depend on the rest of the batch."""
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            if part.running_mean is None:
                return f"{name!r} ({type(part).__name__}) has no running statistics and takes the batch's"
            if part.training:
                return f"{name!r} ({type(part).__name__}) is put into training mode by the forward pass"
    return "its forward pass uses statistics of the whole batch"


def _differ(one: torch.Tensor, other: torch.Tensor, rounding: float) -> bool:
    """Whether outputs differ by more than a share of the largest one. Values that are not finite do so."""
    if one.shape != other.shape:
        return True
    return not bool((one - other).abs().max() <= rounding * one.abs().max())
