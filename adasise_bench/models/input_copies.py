"""Gives a network that works in place copies of its inputs, and an ordinary one the inputs themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def protect_inputs(module: nn.Module, probes: torch.Tensor) -> bool:
    """Let every forward pass of a network that changes its input have a copy of it.

    A picture passes through a network many times. One that, for instance, normalises its input in place
    would otherwise be asked about another picture each time. This is found out once, so that an ordinary
    network costs nothing more.

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
    """Whether a forward pass writes into its input; torch counts that unless it is done behind its back."""
    inputs = probes.clone()
    before = _look(inputs)
    module(inputs)
    return _look(inputs) != before or not torch.equal(inputs, probes)


def _look(inputs: torch.Tensor) -> tuple[Any, ...]:
    return inputs._version, inputs.data_ptr(), inputs.shape, inputs.stride(), inputs.requires_grad


class _OnCopy:
    """A forward pass that gets a copy of the input; an object, so that a copied network calls itself."""

    def __init__(self, forward: Callable[..., Any]) -> None:
        self._forward = forward

    def __call__(self, inputs: torch.Tensor, *others: Any, **options: Any) -> Any:
        return self._forward(inputs.clone(), *others, **options)
