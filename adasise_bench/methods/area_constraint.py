"""The area constraint of Extremal Perturbation: the sorted mask should look like zeros followed by ones.

TorchRay sorts every mask in every iteration. Which pixels belong to the highest share is all that the
gradient needs, and selecting the one value at the border is much cheaper.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import lru_cache

import torch
from torchray.attribution.extremal_perturbation import MaskGenerator


class AreaConstraint:
    """Which pixels of a mask should be 1, all others 0, for the mask to have its area.

    Args:
        areas: area shares in (0, 1).
        repeats: how often the areas repeat in a batch of masks.
        shape: (H', W') of the masks.
        device: where the masks are.
    """

    def __init__(
        self, areas: Sequence[float], repeats: int, shape: tuple[int, int], device: torch.device
    ) -> None:
        self._low = [_low_pixels(shape[0] * shape[1], area) for area in areas] * repeats
        self._low_column = torch.tensor(self._low, device=device)[:, None]

    def high_pixels(self, masks: torch.Tensor) -> torch.Tensor:
        """The highest pixels of (B, H', W') masks, as many as the areas ask for; of equal ones the last."""
        flat = masks.flatten(1)
        border = sorted_out(flat, self._low_column) if flat.is_cuda else picked_out(flat, self._low)
        equal = flat == border
        below = (flat < border).sum(dim=1, keepdim=True)
        high = (flat > border) | (equal & (below + equal.cumsum(dim=1) > self._low_column))
        return high.view_as(masks)


def picked_out(flat: torch.Tensor, low: Sequence[int]) -> torch.Tensor:
    """The ``low``-th smallest value (at least the first) of every row of (B, P), as (B, 1)."""
    values = [row.kthvalue(max(count, 1)).values for row, count in zip(flat, low, strict=True)]
    return torch.stack(values)[:, None]


def sorted_out(flat: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
    """The same for ``low`` as (B, 1), in one call; a GPU has no repeatable algorithm for selecting."""
    return flat.sort(dim=1).values.gather(1, low.clamp(min=1) - 1)


@lru_cache(maxsize=8)
def first_high_pixels(
    size: tuple[int, int], step: int, sigma: float, areas: tuple[float, ...], device: torch.device
) -> torch.Tensor:
    """The high pixels of TorchRay's first iteration, (len(areas), H', W') bool.

    Every parameter is 1 then, and the mask's pixels repeat from cell to cell: which of thousands of equal
    ones count as high is left to rounding and to the order in which ``torch.sort`` leaves equal values.
    It decides where the optimisation goes, so it is read off TorchRay's own mask.
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")
        generator = MaskGenerator(size, step, sigma).to(device)
    full = generator.generate(torch.ones(len(areas), 1, *generator.shape_in, device=device))[1][:, 0]
    order = full.flatten(1).sort(dim=1).indices
    high = torch.zeros_like(order, dtype=torch.bool)
    for row, indices, area in zip(high, order, areas, strict=True):
        row[indices[_low_pixels(len(indices), area) :]] = True
    return high.view_as(full)


def _low_pixels(pixels: int, area: float) -> int:
    return int(pixels * (1 - area))
