"""Extremal Perturbation (Fong, Patrick, Vedaldi, ICCV 2019), for several pictures and areas side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Literal

import torch
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator
from torchray.utils import imsmooth

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.extremal_perturbation import torchray_reference
from adasise_bench.methods.extremal_perturbation.area_constraint import (
    AreaConstraint,
    area_constraint,
    first_high_pixels,
)
from adasise_bench.methods.extremal_perturbation.blur_pyramid import BlurPyramid
from adasise_bench.methods.extremal_perturbation.fused_masks import fused_where_possible
from adasise_bench.methods.extremal_perturbation.mask_descent import MaskDescent
from adasise_bench.methods.extremal_perturbation.smooth_masks import AreaMasks, area_masks
from adasise_bench.models.backends.gradient_graph import Objective
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.replay import RepeatedSteps, is_capturable
from adasise_bench.models.workload import GradientPasses
from adasise_bench.utils import step_watch
from adasise_bench.utils.errors import ConfigError, DeviceError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

PRESETS: dict[str, dict[str, Any]] = {
    "torchray": {"areas": (0.025, 0.05, 0.1, 0.2), "reward": "simple"},
    "single-area": {"areas": (0.12,), "reward": "contrastive"},
}
"""TorchRay's settings for its VOC benchmark, and for its single-image example."""

PICTURE_DEFINITION = "extremal-perturbation-picture-v1"
"""Name of what is computed with ``areas_of: picture``."""

_OTHER_CLASS_FLOOR = -100.0


class ExtremalPerturbation(Method):
    """Extremal Perturbation: smooth masks of given areas that preserve the class's raw output best, added up.

    For every area a mask is optimised by gradient ascent. The mask shows the picture where it is 1, and a
    blurred picture where it is 0. ``preset`` sets ``areas`` and ``reward``: ``torchray`` as in TorchRay's
    benchmark on VOC, ``single-area`` as in its example for one picture.

    Map: (H, W) float32, from 0 to the number of areas.

    Source: Fong, Patrick and Vedaldi, ICCV 2019 (arXiv 1910.08485), as TorchRay's ``extremal_perturbation``
    computes it.

    Example:
        >>> from adasise_bench.methods.extremal_perturbation.extremal_perturbation import ExtremalPerturbation
        >>> from adasise_bench.methods.example import explained
        >>> square = [[50.0 * (row > 15 and column > 15) for column in range(32)] for row in range(32)]
        >>> found = explained(ExtremalPerturbation(iterations=20), red=square)
        >>> found.forwards, bool(found.saliency[16:, 16:].mean() > found.saliency[:16, :16].mean())  # 4 areas
        (80, True)
    """

    name: Literal["extremal_perturbation"] = "extremal_perturbation"
    preset: Literal["torchray", "single-area"] = "torchray"
    areas: tuple[float, ...] = Field((), description="area shares in (0, 1); default: the preset's")
    areas_of: Literal["frame", "picture"] = Field(
        "frame", description="what areas are shares of: TorchRay's frame, which reaches beyond the picture"
    )
    reward: Literal["simple", "contrastive"] = "simple"
    iterations: int = Field(800, ge=1)
    levels: int = Field(8, ge=2, description="levels of the blur pyramid")
    step: int = Field(7, ge=1, description="pixels per mask parameter")
    sigma: float = Field(21.0, gt=0, description="pixels of mask smoothing")
    jitter: bool = Field(True, description="flip the masked picture in every other iteration")
    smooth: float = Field(0.09, ge=0, description="smoothing of the masks, as a share of the shorter side")
    implementation: Literal["batched", "torchray"] = Field(
        "batched", description="ours, or TorchRay's own function"
    )

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
    def _torchray_knows_its_frame_only(self) -> ExtremalPerturbation:
        if self.implementation == "torchray" and self.areas_of == "picture":
            raise ValueError("areas_of: TorchRay's own function knows its frame only; leave it out")
        return self

    @model_serializer(mode="wrap")
    def _where_set(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave ``areas_of`` out at its default: baselines and runs without the option stay valid."""
        options: dict[str, Any] = plain(self)
        if self.areas_of == "frame":
            del options["areas_of"]
        return options

    def evidence(self) -> dict[str, str]:
        """The name of the definition, which is another one where areas are shares of the picture."""
        if self.areas_of == "frame":
            return {}
        return {f"{self.label}.areas_of": PICTURE_DEFINITION}

    @model_validator(mode="after")
    def _masks_cover_the_picture(self) -> ExtremalPerturbation:
        """Refuse masks that do not cover the picture.

        TorchRay's masks begin ``sigma`` pixels before the picture. They have a few cells more than the
        picture needs, and these cells must be at least as wide.
        """
        cells = 2 * (math.ceil(2 * self.sigma / self.step) - math.ceil(self.sigma / self.step))
        if self.step * (cells - 1) + 1 < round(self.sigma):
            raise ValueError(
                f"sigma: {self.sigma:g} pixels with step {self.step} give masks that do not cover the "
                "picture; choose a multiple of step"
            )
        return self

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """Optimise the masks, smooth and sum them; see :meth:`Method.explain`."""
        with clock.phase("optimisation"):
            return self.explain_together(classifier, [request])[0]

    def requests_at_once(self, batch_size: int) -> int:
        """As many as fill a batch with their areas; TorchRay's function takes one."""
        return max(1, batch_size // len(self.areas)) if self.implementation == "batched" else 1

    def explain_together(self, classifier: Classifier, requests: Sequence[Request]) -> list[Explanation]:
        """Optimise the masks of all requests side by side; half of them first when memory runs out."""
        images = torch.cat([request.image for request in requests])
        targets = [request.target for request in requests]
        optimise = self._optimised if self.implementation == "batched" else self._optimised_by_torchray
        saliency = classifier.batch_size.with_gradients.attempt(
            partial(optimise, classifier, images, targets)
        )
        if saliency is not None:
            inputs = self.iterations * len(self.areas)
            return [Explanation(one, inputs, inputs) for one in saliency]
        if len(requests) == 1:
            raise DeviceError(f"{self.label}: its {len(self.areas)} inputs do not fit in memory")
        half = len(requests) // 2
        first = self.explain_together(classifier, requests[:half])
        return first + self.explain_together(classifier, requests[half:])

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One forward per iteration and area."""
        return self.iterations * len(self.areas)

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)

    def gradient_passes(self) -> GradientPasses | None:
        """One pass of all areas in every iteration but the last; TorchRay's function keeps to torch."""
        if self.implementation == "torchray" or self.iterations == 1:
            return None
        areas = len(self.areas)
        return GradientPasses(areas * (self.iterations - 1), areas, OBJECTIVES[self.reward])

    def check(self, classifier: Classifier, image: torch.Tensor) -> None:
        """Prepare what explanations of inputs of this size share; see :meth:`Method.check`.

        Raises:
            ConfigError: the passes cannot have gradients in the run's precision.
        """
        if classifier.precision == "int8":
            raise ConfigError(
                f"methods: {self.label}: its passes need gradients, which int8 does not give; choose "
                "another precision, or leave it out"
            )
        if self.implementation == "batched":
            self._geometry((image.shape[2], image.shape[3]), image.device)

    def _geometry(
        self, size: tuple[int, int], device: torch.device
    ) -> tuple[AreaMasks, AreaConstraint, torch.Tensor | None]:
        """The masks and the constraint, which depend on the inputs' size only and are kept for others.

        The third value is the high pixels of the first iteration, (areas, H', W') bool, where TorchRay
        decides on them; see :func:`.first_high_pixels`.
        """
        masks = area_masks(size, self.step, self.sigma, device)
        if self.areas_of == "picture":
            return masks, area_constraint(self.areas, math.prod(size), device), None
        first_high = first_high_pixels(size, self.step, self.sigma, self.areas, device)
        return masks, area_constraint(self.areas, math.prod(masks.shape), device), first_high

    def _optimised(
        self, classifier: Classifier, images: torch.Tensor, targets: Sequence[int]
    ) -> torch.Tensor:
        """The maps of N images, each with its target, from one optimisation of N x areas masks.

        The masks are those of the last iteration's forward pass, before its update, so that one network
        pass fewer than ``iterations`` is needed.

        Args:
            classifier: the network.
            images: (N, 3, H, W) float32 network inputs.
            targets: N class indices.

        Returns:
            (N, H, W) float32.
        """
        size = (images.shape[2], images.shape[3])
        masks, constraint, first_high = self._geometry(size, images.device)
        count = len(self.areas)
        target = torch.tensor(targets, device=images.device).repeat_interleave(count)
        with arithmetic("fp32", images.device):  # blur and smoothing; the network has its own
            descent = MaskDescent(
                len(target),
                fused_where_possible(masks, len(target)) if classifier.engine.compiles else masks,
                BlurPyramid(images, self.levels, count),
                constraint,
                self.areas_of == "picture",
                None if first_high is None else first_high.repeat(len(images), 1, 1),
                partial(self._input_gradient, classifier, target=target),
                images.device,
            )
            self._descend(classifier, descent)
            found = descent.shown()[:, None]
            if self.smooth:
                found = imsmooth(found, sigma=self.smooth * min(size))
        return found.view(len(images), count, *size).sum(dim=1)

    def _descend(self, classifier: Classifier, descent: MaskDescent) -> None:
        """Do all steps but the last, whose forward pass alone counts."""
        total = self.iterations - 1
        # Every other iteration is mirrored, the first one too. The repeated steps begin with the second one.
        mirrored = (False, True) if self.jitter else (False,)
        repeated = RepeatedSteps(
            [partial(descent.step, flip=flip) for flip in mirrored],
            total - 1,
            is_capturable(classifier.module, classifier.device),
            classifier.device,
        )
        for iteration in range(total):
            descent.begin(iteration)
            if iteration:
                repeated()
            else:
                descent.step(flip=self.jitter, first=True)
            step_watch.tell(iteration + 1, total)

    def _optimised_by_torchray(
        self, classifier: Classifier, images: torch.Tensor, targets: Sequence[int]
    ) -> torch.Tensor:
        """As :meth:`_optimised`, one after the other by TorchRay's function."""
        return torch.stack(
            [
                torchray_reference.explain(
                    classifier,
                    image[None],
                    target,
                    areas=list(self.areas),
                    reward=self.reward,
                    max_iter=self.iterations,
                    num_levels=self.levels,
                    step=self.step,
                    sigma=self.sigma,
                    jitter=self.jitter,
                    smooth=self.smooth,
                )
                for image, target in zip(images, targets, strict=True)
            ]
        )

    def _input_gradient(
        self, classifier: Classifier, inputs: torch.Tensor, target: torch.Tensor
    ) -> torch.Tensor:
        """Gradient of the reward of every input, (B, 3, H, W).

        On a CPU every explanation has a pass of its own, whose inputs fill the cores. The inputs of other
        explanations in the same pass would change the rounding, and the optimisation would amplify that.
        """
        if inputs.device.type == "cpu" and len(inputs) > len(self.areas):
            parts = zip(*(torch.split(values, len(self.areas)) for values in (inputs, target)), strict=True)
            return torch.cat([self._input_gradient(classifier, *part) for part in parts])
        return classifier.input_gradient(inputs, target, OBJECTIVES[self.reward])


def _simple(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The sum of the raw outputs of the (B,) target classes, each averaged over its positions."""
    outputs = outputs.view(*outputs.shape[:2], -1)
    return outputs.gather(1, _index(outputs, target)).mean(dim=2).sum()


def _contrastive(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The same, less the largest output of another class at every position."""
    outputs = outputs.view(*outputs.shape[:2], -1)
    index = _index(outputs, target)
    others = outputs.scatter(1, index, _OTHER_CLASS_FLOOR).amax(dim=1, keepdim=True)
    return (outputs.gather(1, index) - others).mean(dim=2).sum()


def _index(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return target[:, None, None].expand(-1, -1, outputs.shape[2])


OBJECTIVES: Mapping[str, Objective] = {"simple": _simple, "contrastive": _contrastive}
"""The rewards, which are maximised."""
