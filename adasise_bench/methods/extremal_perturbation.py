"""Extremal Perturbation (Fong, Patrick, Vedaldi, ICCV 2019) by TorchRay's own function."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from pydantic import Field, model_validator
from torch import nn
from torchray.attribution import extremal_perturbation as torchray_ep

from adasise_bench.methods.base import Explanation, MethodOptions
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.precision import arithmetic
from adasise_bench.timing import PhaseClock

PRESETS: dict[str, dict[str, Any]] = {
    "torchray": {"areas": (0.025, 0.05, 0.1, 0.2), "reward": "simple"},
    "single-area": {"areas": (0.12,), "reward": "contrastive"},
}
"""TorchRay's settings for its VOC benchmark, and for its single-image example."""


class ExtremalPerturbation(MethodOptions):
    """Masks of fixed areas that preserve the class's raw output, summed over the areas."""

    name: Literal["extremal_perturbation"] = "extremal_perturbation"
    preset: Literal["torchray", "single-area"] = "torchray"
    areas: tuple[float, ...] = Field((), description="area shares in (0, 1); default: the preset's")
    reward: Literal["simple", "contrastive"] = "simple"
    iterations: int = Field(800, ge=1)
    levels: int = Field(8, ge=2, description="levels of the blur pyramid")
    step: int = Field(7, ge=1, description="pixels per mask parameter")
    sigma: float = Field(21.0, gt=0, description="pixels of mask smoothing")
    jitter: bool = Field(True, description="flip the masked picture in every other iteration")
    smooth: float = Field(0.09, ge=0, description="smoothing of the masks, as a share of the shorter side")

    @model_validator(mode="before")
    @classmethod
    def _preset_defaults(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return PRESETS.get(str(value.get("preset", "torchray")), {}) | value
        return value

    @model_validator(mode="after")
    def _areas_are_shares(self) -> ExtremalPerturbation:
        if not self.areas or not all(0 < area < 1 for area in self.areas):
            raise ValueError(f"areas: shares between 0 and 1, at least one (given: {list(self.areas)})")
        if self.reward == "contrastive" and len(self.areas) > 1:
            raise ValueError("reward: TorchRay's contrastive reward is only right for a single area")
        return self

    @model_validator(mode="after")
    def _masks_cover_the_picture(self) -> ExtremalPerturbation:
        """TorchRay's masks reach some cells beyond the picture, which must make up for their margin."""
        cells = 2 * (math.ceil(2 * self.sigma / self.step) - math.ceil(self.sigma / self.step))
        if self.step * (cells - 1) + 1 < round(self.sigma):
            raise ValueError(
                f"sigma: {self.sigma:g} pixels with step {self.step} give masks that do not cover the "
                "picture; choose a multiple of step"
            )
        return self

    def explain(
        self, classifier: Classifier, image: torch.Tensor, target: int, batch_size: int, clock: PhaseClock
    ) -> Explanation:
        """Optimise the masks, smooth and sum them; see :meth:`MethodOptions.explain`."""
        rewards = {"simple": torchray_ep.simple_reward, "contrastive": torchray_ep.contrastive_reward}
        with (
            clock.phase("optimisation"),
            _gradients_as_found(classifier.module),
            warnings.catch_warnings(),
            arithmetic(classifier.precision, classifier.device),
            torch.enable_grad(),
        ):
            warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")
            masks, _ = torchray_ep.extremal_perturbation(
                classifier.module,
                image,
                target,
                areas=list(self.areas),
                max_iter=self.iterations,
                num_levels=self.levels,
                step=self.step,
                sigma=self.sigma,
                jitter=self.jitter,
                reward_func=rewards[self.reward],
                smooth=self.smooth,
            )
            saliency = masks.sum(dim=0)[0].float()
        inputs = self.iterations * len(self.areas)
        return Explanation(saliency, inputs, inputs)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One forward per iteration and area."""
        return self.iterations * len(self.areas)


@contextmanager
def _gradients_as_found(module: nn.Module) -> Iterator[None]:
    """Restore every parameter's ``requires_grad``, which TorchRay switches off and leaves off."""
    found = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        yield
    finally:
        for parameter, requires_grad in found:
            parameter.requires_grad_(requires_grad)
