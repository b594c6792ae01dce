"""What every network goes through before anything is computed with it that counts."""

from __future__ import annotations

import torch
from torch import nn

from adasise_bench.models.surgery import fold_batchnorm, folded_where_exact, with_repeatable_pooling


def prepared(
    module: nn.Module, device: torch.device, *, repeatable: bool, trial: torch.Tensor | None = None
) -> nn.Module:
    """The same function on its device, with fewer passes and, if asked for, gradients that torch can repeat.

    No gradient may be taken before: on a GPU a deterministic run has none of some layers that are replaced
    here.

    Args:
        module: a network in evaluation mode; changed in place where possible.
        device: where it will live.
        repeatable: whether the run is deterministic.
        trial: (1, 3, H, W) network input on the device, of a network that is not known to run its layers in
            the order in which it holds them: what changes its outputs is then left alone.
    """
    if trial is None:
        module = fold_batchnorm(module).to(device)
    else:
        module = folded_where_exact(module.to(device), trial)
    return with_repeatable_pooling(module) if repeatable else module
