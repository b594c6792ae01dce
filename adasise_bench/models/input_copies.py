"""Gives copies of inputs to a network that changes them, and the inputs themselves to any other network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def protect_inputs(module: nn.Module, probes: torch.Tensor) -> bool:
    """Find out whether a network changes its input, and if so, give its forward passes copies from now on.

    A picture passes through a network many times. A network that normalises its input in place, for instance,
    would otherwise get another picture each time. The test is done once, so that other networks need no
    copies.

    Args:
        module: the network in evaluation mode; its ``forward`` is replaced where it changes its input.
        probes: (N, 3, H, W) network inputs.

    Returns:
        Whether it changes its input.
    """
    changes = any(_changes(module, part) for part in (probes, probes[:1]))
    if changes:
        module.forward = _OnCopy(module.forward)
    return changes


@torch.no_grad()
def _changes(module: nn.Module, probes: torch.Tensor) -> bool:
    """Whether a forward pass writes into its input, by torch's count of changes and by the values."""
    inputs = probes.clone()
    before = _look(inputs)
    module(inputs)
    return _look(inputs) != before or not torch.equal(inputs, probes)


def _look(inputs: torch.Tensor) -> tuple[Any, ...]:
    return inputs._version, inputs.data_ptr(), inputs.shape, inputs.stride(), inputs.requires_grad


class _OnCopy:
    """A forward pass on a copy of the input. It is an object, so that a copied network calls itself."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward

    def __call__(self, inputs: torch.Tensor, *others: Any, **options: Any) -> Any:
        return self._forward(inputs.clone(), *others, **options)
