"""Prepares every network before results are computed with it."""

from __future__ import annotations

import torch
from torch import nn

from adasise_bench.models.surgery import fold_batchnorm, folded_where_exact, with_repeatable_pooling


def prepared(
    module: nn.Module, device: torch.device, *, repeatable: bool, trial: torch.Tensor | None = None
) -> nn.Module:
    """Put a network on its device, fold its batch normalisations, and make its gradients repeatable if asked.

    It still computes the same function. No gradient may be computed before this: on a GPU torch refuses those
    of some layers in a deterministic run, and these layers are replaced here.

    Args:
        module: a network in evaluation mode; changed in place where possible.
        device: where it will live.
        repeatable: whether the run is deterministic.
        trial: (1, 3, H, W) network input on the device, for a network that may not run its layers in the
            order in which it lists them. Folding is then undone if it changes the outputs.
    """
    if trial is None:
        module = fold_batchnorm(module).to(device)
    else:
        module = folded_where_exact(module.to(device), trial)
    return with_repeatable_pooling(module) if repeatable else module
