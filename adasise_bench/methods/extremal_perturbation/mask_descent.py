"""The gradient descent of Extremal Perturbation, one step at a time, on tensors that are changed in place."""

from __future__ import annotations

from collections.abc import Callable

import torch

from adasise_bench.methods.extremal_perturbation.area_constraint import AreaConstraint
from adasise_bench.methods.extremal_perturbation.blur_pyramid import BlurPyramid
from adasise_bench.methods.extremal_perturbation.smooth_masks import AreaMasks

_LEARNING_RATE = 0.01
_MOMENTUM = 0.9
_AREA_WEIGHT = 300.0
_AREA_WEIGHT_GROWTH = 1.0035


class MaskDescent:
    """The parameters of masks, and steps that improve them.

    The descent is TorchRay's. It is SGD with momentum 0.9, dampening 0.9 and learning rate 0.01 on parameters
    that start at 1 and are clamped to [0, 1]. The weight of the area constraint starts at 300 and grows by
    0.35 % in every iteration.

    :meth:`step` reads and writes nothing on the host, and changes its tensors in place. A CUDA graph of one
    step can therefore be replayed for others. :meth:`begin` sets beforehand what differs between iterations.

    Args:
        count: B, the number of masks.
        masks: turns parameters into masks.
        pyramid: shows the pictures under the masks.
        constraint: says which pixels should be 1.
        of_picture: whether areas are shares of the picture; otherwise they are shares of TorchRay's frame.
        first_high: the (B, H', W') bool high pixels of the first step; by default the constraint's.
        reward_gradient: gradient of the reward of (B, 3, H, W) inputs.
        device: where everything is.
    """

    def __init__(
        self,
        count: int,
        masks: AreaMasks,
        pyramid: BlurPyramid,
        constraint: AreaConstraint,
        of_picture: bool,
        first_high: torch.Tensor | None,
        reward_gradient: Callable[[torch.Tensor], torch.Tensor],
        device: torch.device,
    ) -> None:
        self._masks, self._pyramid, self._constraint = masks, pyramid, constraint
        self._of_picture, self._first_high = of_picture, first_high
        self._reward_gradient = reward_gradient
        self._parameters = torch.ones(count, *masks.parameters, device=device)
        self._momentum = torch.zeros_like(self._parameters)
        self._area_factor = torch.zeros((), device=device)

    def begin(self, iteration: int) -> None:
        """Set the weight of the area constraint for the step that follows."""
        weight = _AREA_WEIGHT * _AREA_WEIGHT_GROWTH**iteration
        self._area_factor.fill_(-2 * weight / self._constraint.pixels)

    def shown(self) -> torch.Tensor:
        """The masks on the pictures, (B, H, W) in [0, 1]."""
        return self._masks.crop(self._masks.masks(self._parameters).pixels.clamp(0, 1))

    def step(self, *, flip: bool, first: bool = False) -> None:
        """Change the parameters once.

        Args:
            flip: whether the network sees the pictures mirrored.
            first: whether this is the first step, in which there is no momentum yet.
        """
        made = self._masks.masks(self._parameters)
        clamped = made.pixels.clamp(0, 1)
        shown, slope = self._pyramid.at(self._masks.crop(clamped))
        gradient = self._reward_gradient(shown.flip(3) if flip else shown)
        upstream = self._area_gradient(clamped, first)
        self._masks.crop(upstream).add_(((gradient.flip(3) if flip else gradient) * slope).sum(dim=1))
        upstream.mul_(made.pixels == clamped)  # clamping has no gradient where it changed a pixel
        ascent = self._masks.gradient(upstream, made)
        self._momentum.lerp_(ascent, 1 if first else 1 - _MOMENTUM)
        self._parameters.add_(self._momentum, alpha=_LEARNING_RATE).clamp_(0, 1)

    def _area_gradient(self, clamped: torch.Tensor, first: bool) -> torch.Tensor:
        """Gradient of minus the weighted mean of (mask - wanted mask)², (B, H', W')."""
        region = self._masks.crop(clamped) if self._of_picture else clamped
        if first and self._first_high is not None:
            high = self._first_high
        else:
            high = self._constraint.high_pixels(region)
        difference = region.add(high, alpha=-1).mul_(self._area_factor)
        return self._masks.framed(difference) if self._of_picture else difference
