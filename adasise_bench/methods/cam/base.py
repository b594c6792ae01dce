"""What the class activation methods share: a weighted sum of feature maps, for all classes of an image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from pydantic import Field

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.layer_maps import layer_maps, refuse_not_finite
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.timing import PhaseClock


def weighted_maps(maps: torch.Tensor, weights: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """L = ReLU(Σ_k w_k A_k), resized bilinearly to the input; pixel centres are at half-integers.

    Args:
        maps: (K, h, w) float32 feature maps A; K may be 0.
        weights: (T, K) float64 weights of T classes, or (T, K, h, w) weights of their positions.
        size: height and width of the input.

    Returns:
        (T, H, W) float32, at least 0; not scaled.

    Raises:
        BenchError: maps or weights that are not finite.
    """
    product = "tk,khw->thw" if weights.ndim == 2 else "tkhw,khw->thw"
    small = torch.einsum(product, to_float64(weights), to_float64(maps)).clamp_(min=0)
    refuse_not_finite(small)
    return F.interpolate(small[None], size, mode="bilinear", align_corners=False)[0].float().to(maps.device)


class ClassActivation(Method):
    """A method that does its work once for all classes of an image."""

    @property
    def group(self) -> str:
        """All classes of an image are explained together. No label has a space, so that no name clashes."""
        return f"{self.name} of an image"

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """See :meth:`Method.explain`.

        Raises:
            BenchError: maps, scores or gradients that are not finite.
            ConfigError: the network lacks the layer, or the head that the method needs.
        """
        return self.explained(classifier, [request], clock)[0]

    def explain_together(self, classifier: Classifier, requests: Sequence[Request]) -> list[Explanation]:
        """As :meth:`explain`, sharing the passes; all requests are for one image."""
        return self.explained(classifier, requests, PhaseClock(classifier.device))

    @classmethod
    def expected_together(
        cls, methods: Sequence[Method], maps_available: tuple[int, ...], classes: int
    ) -> int | None:
        """As many as for one class."""
        return super().expected_together(methods[:1], maps_available, 1)

    def explained(
        self, classifier: Classifier, requests: Sequence[Request], clock: PhaseClock
    ) -> list[Explanation]:
        """The explanations of requests of one group for one image."""
        raise NotImplementedError  # pragma: no cover


class LayerActivation(ClassActivation):
    """A class activation method on a layer of the user's choice."""

    layer: str | None = Field(
        None, min_length=1, description="module whose output is explained; default: the last block"
    )

    @property
    def group(self) -> str:
        """Requests on the same layer share its passes."""
        return f"{self.name} of {self.layer or 'the last block'}"

    def layer_in(self, classifier: Classifier) -> str:
        """The chosen layer's name, or the last block's."""
        return self.layer or classifier.blocks[-1]

    def check(self, classifier: Classifier, image: torch.Tensor) -> None:
        """See :meth:`Method.check`."""
        layer_maps(classifier, image, self.layer_in(classifier))
