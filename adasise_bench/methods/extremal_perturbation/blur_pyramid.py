"""Pictures in several degrees of blur, as TorchRay's Extremal Perturbation shows them under a mask."""

from __future__ import annotations

import torch
from torchray.attribution.extremal_perturbation import Perturbation


class BlurPyramid:
    """Gives pictures with a degree of blur for every pixel, and their derivative in that degree.

    The levels of one pixel lie side by side in memory, each with its difference to the next level, so that a
    look-up reads one short row.

    Args:
        images: (N, 3, H, W) float32.
        levels: L ≥ 2; level 0 is blurred with σ = 20 pixels, level L-1 is the image.
        copies: masks per image.
    """

    def __init__(self, images: torch.Tensor, levels: int, copies: int) -> None:
        pyramids = torch.stack([Perturbation(image[None], num_levels=levels).pyramid for image in images])
        values = pyramids.permute(0, 3, 4, 1, 2)
        steps = values.diff(dim=3, append=values[:, :, :, -1:])
        self._rows = torch.cat([values, steps], dim=4).reshape(-1, 6)
        self._last = levels - 1
        height, width = images.shape[2:]
        first = torch.arange(0, len(self._rows), levels, device=images.device)
        self._first = first.view(-1, height, width).repeat_interleave(copies, dim=0)

    def at(self, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The pictures under masks, interpolated linearly between levels (TorchRay's ``Perturbation``).

        Args:
            masks: (N · copies, H, W) float32 in [0, 1]; 0 shows most blur, 1 the image. Where a mask is not a
                number, the picture is not a number either.

        Returns:
            The pictures and their derivatives with respect to the masks, both (N · copies, 3, H, W), with
            the channels last in memory.
        """
        degrees = masks * self._last
        below = degrees.floor()
        level = below.long().clamp_(0, self._last)  # NaN becomes any integer, which must not leave the table
        rows = self._rows.index_select(0, (self._first + level).flatten())
        rows = rows.view(*masks.shape, 6)
        values, steps = rows[..., :3], rows[..., 3:]
        shown = torch.addcmul(values, steps, (degrees - below)[..., None])
        return shown.permute(0, 3, 1, 2), (steps * self._last).permute(0, 3, 1, 2)
