"""The masks of :mod:`.smooth_masks` by two pure functions that ``torch.compile`` turns into one kernel each.

The values that are 81 times as large as the masks are only terms of a sum here, and a compiled kernel keeps
them in registers. It reads parameters and writes masks, or reads masks and writes a gradient. Without
compiling, the functions hold all of these values in memory, which only small masks allow.

The gradient of a parameter is gathered from the pixels around it, and not scattered from the pixels to their
parameters. No two threads then add to the same value, so that a GPU repeats its results to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._triton import has_triton

from adasise_bench.methods.extremal_perturbation.smooth_masks import COLDNESS, AreaMasks, SmoothMasks
from adasise_bench.models.replay import tell_once


def fused_where_possible(masks: AreaMasks, count: int) -> AreaMasks:
    """The same masks by compiled kernels, if torch can compile for the GPU and all cells have the same bell.

    A CPU keeps :class:`AreaMasks`: its cache holds their slices, and its results stay the same to the bit.

    Args:
        masks: what to compute.
        count: how many masks at once; the kernels are compiled for them here.
    """
    if not _is_compilable(masks.bell):
        return masks
    fused = FusedMasks(masks)
    try:
        made = fused.masks(torch.ones(count, *masks.parameters, device=masks.bell.device))
        fused.gradient(torch.zeros_like(made.pixels), made)
    except Exception as error:  # a compiler can fail in any way, and memory can run out
        tell_once("masks are computed kernel by kernel, not compiled", error)
        return masks
    return fused


def _is_compilable(bell: torch.Tensor) -> bool:
    one_for_all_cells = bell.shape[2] == bell.shape[4] == 1
    return one_for_all_cells and bell.device.type == "cuda" and has_triton()


class FusedMasks(AreaMasks):
    """:class:`AreaMasks` with compiled kernels, to the same values but for rounding.

    Args:
        masks: whose masks to compute; all cells must have the same bell.
    """

    def __init__(self, masks: AreaMasks) -> None:
        self.__dict__.update(masks.__dict__)

    def masks(self, parameters: torch.Tensor) -> SmoothMasks:
        """See :meth:`AreaMasks.masks`; ``around`` holds the parameters in place of the neighbourhoods."""
        cells, sums = _compiled(weighted_maximum)(parameters, self.bell, self.padding)
        return SmoothMasks(self.trimmed(cells), cells, sums, parameters)

    def gradient(self, upstream: torch.Tensor, masks: SmoothMasks) -> torch.Tensor:
        """See :meth:`AreaMasks.gradient`."""
        made = masks.cells, masks.sums, masks.around
        gradient: torch.Tensor = _compiled(gathered_gradient)(
            self.padded(upstream), *made, self.bell, self.padding
        )
        return gradient


@cache
def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` compiled as a whole; torch raises if it would have to leave a part of it uncompiled."""
    return torch.compile(function, fullgraph=True)


def weighted_maximum(
    parameters: torch.Tensor, bell: torch.Tensor, padding: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Σ w·m·exp(c·w·m) / Σ exp(c·w·m) over the kernel, with coldness c, and its denominator.

    Args:
        parameters: m, (B, h, w) float32.
        bell: c·w, (k, k, 1, step, 1, step).
        padding: zeros around the parameters.

    Returns:
        Twice (B, cells, step, W) float32.
    """
    kernel = bell.shape[0]
    around = F.pad(parameters, [padding] * 4).unfold(1, kernel, 1).unfold(2, kernel, 1)
    scaled = bell * around.permute(0, 3, 4, 1, 2)[:, :, :, :, None, :, None]
    powers = scaled.exp()
    sums = powers.sum(dim=(1, 2))
    cells = (scaled * powers).sum(dim=(1, 2)) / sums / COLDNESS
    return cells.flatten(3), sums.flatten(3)


def gathered_gradient(
    upstream: torch.Tensor,
    cells: torch.Tensor,
    sums: torch.Tensor,
    parameters: torch.Tensor,
    bell: torch.Tensor,
    padding: int,
) -> torch.Tensor:
    """The gradient of :func:`weighted_maximum` with respect to its parameters, (B, h, w).

    It is a sum over all pixels that a parameter reaches. With a = c·w·m, the term of a pixel is its upstream
    gradient times w·exp(a)·(a + 1 - c·mask), divided by its denominator.

    Args:
        upstream: (B, cells, step, W) gradient with respect to the masks.
        cells, sums: what :func:`weighted_maximum` returned.
        parameters, bell, padding: its arguments.
    """
    kernel, step = bell.shape[0], bell.shape[3]
    beyond = kernel - 1 - padding  # cells without pixels that the parameters at the border would also reach
    share = _reached(upstream / sums, beyond, kernel, step)
    offset = _reached(1 - COLDNESS * cells, beyond, kernel, step)
    # Weights are flipped: in the first cell that a parameter reaches it is the last one of the neighbourhood.
    weights = bell[:, :, 0, :, 0].flip(0, 1).permute(2, 3, 0, 1)[:, None]
    scaled = parameters[:, :, None, :, None, None, None] * weights
    terms = scaled.exp() * (scaled + offset) * weights * share
    return terms.sum(dim=(2, 4, 5, 6)) / COLDNESS


def _reached(values: torch.Tensor, beyond: int, kernel: int, step: int) -> torch.Tensor:
    """Order (B, cells, step, W) values by the parameters that reach them.

    Returns:
        A view (B, h, step, w, step, kernel, kernel).
    """
    by_cell = values.reshape(*values.shape[:3], -1, step)
    padded = F.pad(by_cell, (0, 0, beyond, beyond, 0, 0, beyond, beyond))
    return padded.unfold(1, kernel, 1).unfold(3, kernel, 1)
