"""Maps that look at no network: what a method must beat, and what none can."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.centre_gaussian import CENTRE_SIGMA, centre_gaussian
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, ITU-R BT.601."""


class _Control(Method):
    """A map without a forward pass."""

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """The map alone; see :meth:`Method.explain`."""
        return Explanation(self.saliency(classifier, request), forwards=0, backwards=0)

    def saliency(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """The map, (H, W) float32, at least 0, on the input's device."""
        raise NotImplementedError  # pragma: no cover

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """None."""
        return 0


class Random(_Control):
    """Independent uniform noise in [0, 1) from the explanation's own seed, the same on every device."""

    name: Literal["random"] = "random"

    def saliency(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """See the class."""
        generator = torch.Generator().manual_seed(request.seed)
        return torch.rand(request.image.shape[2:], generator=generator).to(request.image.device)


class Centre(_Control):
    """A Gaussian in the middle, whose standard deviation is a share of the height and of the width."""

    name: Literal["centre"] = "centre"
    sigma: float = Field(
        CENTRE_SIGMA, ge=0.01, le=10, description="standard deviation, as a share of the side"
    )

    def saliency(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """See the class."""
        height, width = request.image.shape[2:]
        return centre_gaussian((height, width), self.sigma).to(request.image)


class Edge(_Control):
    """Magnitude of the Sobel gradient of the grey picture (BT.601 weights), borders repeated.

    The network's scaling of the channels is undone; the mean colour that the input lacks is a constant,
    which the gradient does not see. Scaled as the operator's integers give it: a step of height 1 has
    magnitude 4.
    """

    name: Literal["edge"] = "edge"

    def saliency(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """See the class."""
        weights = torch.tensor(_LUMA) * torch.tensor(classifier.preprocessing.std)
        with arithmetic("fp32", classifier.device):
            grey = torch.tensordot(weights.to(request.image), request.image[0], dims=1)
        padded = F.pad(grey[None], (1, 1, 1, 1), mode="replicate")[0]
        across, down = _sobel(padded), _sobel(padded.T).T
        return torch.hypot(across, down)


class BoxOracle(_Control):
    """1 within the class's boxes, 0 elsewhere: no map has a higher EBPG or Bbox."""

    name: Literal["box_oracle"] = "box_oracle"
    needs_region: ClassVar[bool] = True

    def saliency(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """See the class.

        Raises:
            BenchError: the region is not known.
        """
        if request.inside is None:
            raise BenchError(f"{self.label}: needs the class's boxes, which are not known here")
        return request.inside.to(request.image)


def _sobel(padded: torch.Tensor) -> torch.Tensor:
    """Sobel derivative along the second of two dimensions, each one shorter at both ends."""
    difference = padded[:, 2:] - padded[:, :-2]
    return difference[:-2] + 2 * difference[1:-1] + difference[2:]
