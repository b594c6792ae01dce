"""Controls: maps made without the network. A method should do better than them, except for the box oracle."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

_LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey, ITU-R BT.601."""


class _Control(Method):
    """A map that is made without a forward pass."""

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
    """Uniform noise: what chance gives.

    All pixels are independent. The random numbers begin at the explanation's own seed, and are the same on
    every device.

    Map: (H, W) float32, from 0 to 1, without 1.

    Example:
        >>> from adasise_bench.methods.controls import Random
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(Random(), red=[[0, 2], [0, 6]]).saliency
        >>> tuple(found.shape), bool((found >= 0).all() and (found < 1).all())
        ((2, 2), True)
    """

    name: Literal["random"] = "random"

    def saliency(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """See the class."""
        generator = torch.Generator().manual_seed(request.seed)
        return torch.rand(request.image.shape[2:], generator=generator).to(request.image.device)


class Centre(_Control):
    """A Gaussian in the middle of the picture: what is gained by knowing that objects are often there.

    Its standard deviation is the share ``sigma`` of the height and of the width.

    Map: (H, W) float32, from 0 to 1.

    Example:
        >>> from adasise_bench.methods.controls import Centre
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(Centre(), red=[[0] * 3] * 3).saliency  # exp(-8 / 9) beside the middle
        >>> [round(value, 3) for value in found[1].tolist()]
        [0.411, 1.0, 0.411]
    """

    name: Literal["centre"] = "centre"
    sigma: float = Field(0.25, ge=0.01, le=10, description="standard deviation, as a share of the side")

    def saliency(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """See the class."""
        rows, columns = (
            torch.exp(-(((torch.arange(length) + 0.5) / length - 0.5) ** 2) / (2 * self.sigma**2))
            for length in request.image.shape[2:]
        )
        return torch.outer(rows, columns).to(request.image)


class Edge(_Control):
    """The edges of the picture: the magnitude of the Sobel gradient of the grey picture.

    Grey is the weighted sum of red, green and blue by ITU-R BT.601. The network's scaling of the channels is
    undone first. Its mean colour need not be added again: it is a constant, which no gradient sees. The
    border is repeated beyond the picture. A step of height 1 has magnitude 4, as the operator's integers give
    it.

    Map: (H, W) float32, at least 0, in units of the picture's grey values.

    Example:
        >>> from adasise_bench.methods.controls import Edge
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(Edge(), red=[[0, 1000, 1000]]).saliency  # 4 * 0.299 * 1000 at the step
        >>> [round(value) for value in found[0].tolist()]
        [1196, 1196, 0]
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
    """The boxes of the class themselves: 1 inside, 0 outside. No map has a higher EBPG or Bbox.

    Map: (H, W) float32, 0 or 1.

    Raises:
        BenchError: the region is not known.

    Example:
        >>> from adasise_bench.methods.controls import BoxOracle
        >>> from adasise_bench.methods.example import explained
        >>> found = explained(BoxOracle(), red=[[0, 2]], inside=torch.tensor([[False, True]]))
        >>> found.saliency.tolist()
        [[0.0, 1.0]]
    """

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
