"""Information Bottleneck Attribution (Schulz, Sixt, Tombari, Landgraf, ICLR 2020), per sample."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field

from adasise_bench.methods.base import Explanation, Method, Request
from adasise_bench.methods.information_bottleneck.layer_statistics import (
    SCENES,
    LayerStatistics,
    layer_output,
    layer_statistics,
    pictures_sha256,
)
from adasise_bench.methods.layer_maps import replaced_output
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.score import ScoreName
from adasise_bench.utils import step_watch
from adasise_bench.utils.errors import BenchError, ConfigError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

_LAYERS = {"vgg16": "features.17", "resnet50": "layer2"}
_LEAST_STD = 0.01
_LEAST_NONZERO = 0.01
_LEAST_HIDDEN = 1e-30


class InformationBottleneck(Method):
    """Information Bottleneck Attribution, per sample: the bits that must pass a layer to recognise the class.

    The output R of the layer is mixed with noise: Z = λR + (1 - λ)ε with ε ~ N(μ, σ²). λ is sigmoid(α),
    smoothed, and α is optimised so that the cross-entropy + β·KL(P(Z|R) ‖ N(μ, σ²)) becomes small. The map is
    this KL divergence in bits, summed over the channels and spread bilinearly over the pixels of the input.

    The parameters are those of the paper: β = 10/k for k values in the layer, 10 iterations of Adam with
    learning rate 1 on batches of 10 noises, α = 5 at first, smoothing by a Gaussian of 1 position. The layers
    are those of the authors' evaluation: ``conv4_1`` of VGG16 before its ReLU, and the end of ``conv3_x``
    (``layer2``) of ResNet-50. For other networks it is the middle block. Three details follow the authors'
    code: the forward pass of the last iteration counts, before its update, so that the network runs once less
    than ``iterations``; standard deviations are at least 0.01; and a channel that is 0 in 99 % of the
    statistics is switched off.

    There is one deviation. The authors take μ and σ of every single value from 10,000 training images. Here
    they are those of every channel, over all positions of 256 pictures: of drawn scenes, or of the first by
    name in the folder ``statistics``. They are taken once for a network, before its first explanation.

    The package registry has none of the authors', so the tool computes the method itself. The layers before
    the bottleneck pass one input, where theirs pass ten equal ones. All is computed in float32. A GPU draws
    other noise than a CPU. Where Ψ is the raw output, the cross-entropy is that of the softmax.

    Map: (H, W) float32, at least 0, in bits per pixel of the input.

    Source: Schulz et al., ICLR 2020 (arXiv 2001.00396), the Per-Sample Bottleneck.

    Example:
        >>> from adasise_bench.methods.example import explained
        >>> from adasise_bench.methods.parsing import parse_method
        >>> corner = [[50.0 * (row > 3 and column > 3) for column in range(8)] for row in range(8)]
        >>> found = explained(parse_method({"name": "information_bottleneck", "pictures": 2}), red=corner)
        >>> found.forwards, bool(found.saliency[4:, 4:].mean() > found.saliency[:4, :4].mean())  # 9 times 10
        (90, True)
    """

    name: Literal["information_bottleneck"] = "information_bottleneck"
    layer: str = Field("", description="module whose output is restricted; default: by network")
    statistics: str = Field(SCENES, min_length=1, description="folder of pictures, or the drawn `scenes`")
    pictures: int = Field(256, ge=2, description="how many of them the statistics are taken from")
    beta: float = Field(10.0, ge=0, description="weight of the layer's mean information, in nats")
    iterations: int = Field(10, ge=1)
    samples: int = Field(10, ge=1, description="noises per iteration")
    learning_rate: float = Field(1.0, gt=0)
    alpha: float = Field(5.0, ge=-15, le=15, description="the parameters' first value")
    sigma: float = Field(1.0, gt=0, le=20, description="smoothing of λ, in positions of the layer")

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        """Optimise λ and read the information off; see :meth:`Method.explain`.

        Raises:
            ConfigError: the network has no such layer, or it gives no maps.
            DataError: no pictures to take the statistics from.
            BenchError: maps too small to be smoothed, or information that is not finite.
        """
        with clock.phase("optimisation"):
            size = (request.image.shape[2], request.image.shape[3])
            nats = self._information(classifier, request)
            if not torch.isfinite(nats).all():
                raise BenchError("the information in the network's layer is not finite for this picture")
            bits = nats.clamp(min=0).sum(dim=1, keepdim=True) / math.log(2)
            per_pixel = bits * (bits.numel() / (size[0] * size[1]))
            saliency = F.interpolate(per_pixel, size, mode="bilinear", align_corners=False)[0, 0]
        passed = (self.iterations - 1) * self.samples
        return Explanation(saliency, passed, passed)

    def evidence(self) -> dict[str, str]:
        """The pictures of a folder of statistics."""
        if self.statistics == SCENES:
            return {}
        return {f"{self.label}.statistics": pictures_sha256(self.statistics, self.pictures)}

    def check(self, classifier: Classifier, image: torch.Tensor) -> None:
        """See :meth:`Method.check`; the statistics are then there before anything is timed."""
        layer = self._layer(classifier)
        self._check(layer_output(classifier, layer, image), layer)
        self._statistics(classifier, layer, image)

    def expected_forwards(self, maps_available: tuple[int, ...]) -> int:
        """One forward per noise, but for the last iteration's."""
        return (self.iterations - 1) * self.samples

    def expected_backwards(self, maps_available: tuple[int, ...]) -> int:
        """One for each forward pass."""
        return self.expected_forwards(maps_available)

    def _information(self, classifier: Classifier, request: Request) -> torch.Tensor:
        """The information of every value of the layer after the optimisation, (1, C, h, w), in nats."""
        layer, image = self._layer(classifier), request.image
        maps = layer_output(classifier, layer, image)
        self._check(maps, layer)
        statistics = self._statistics(classifier, layer, image)
        noise = torch.Generator(image.device).manual_seed(request.seed)
        alpha = torch.full_like(maps, self.alpha, requires_grad=True)
        adam = torch.optim.Adam([alpha], lr=self.learning_rate)
        for iteration in range(self.iterations - 1):
            with torch.enable_grad(), arithmetic("fp32", classifier.device):
                hidden = self._hidden(alpha)
                restricted = mixed(maps, hidden, statistics, self.samples, noise)
                with replaced_output(classifier, image, layer, lambda *_: restricted):  # noqa: B023
                    outputs = classifier.outputs(image)
                loss = _surprise(outputs, request.target, classifier.score)
                loss = loss + self.beta * information(maps, hidden, statistics).mean()
                (alpha.grad,) = torch.autograd.grad(loss, alpha)
            adam.step()
            step_watch.tell(iteration + 1, self.iterations - 1)
        with torch.no_grad(), arithmetic("fp32", classifier.device):
            return information(maps, self._hidden(alpha), statistics)

    def _layer(self, classifier: Classifier) -> str:
        if not self.layer:
            return _LAYERS.get(classifier.name, classifier.blocks[len(classifier.blocks) // 2])
        if self.layer not in dict(classifier.module.named_modules()):
            raise ConfigError(f"methods.{self.label}.layer: {classifier.name} has no module {self.layer!r}")
        return self.layer

    def _statistics(self, classifier: Classifier, layer: str, image: torch.Tensor) -> LayerStatistics:
        return layer_statistics(classifier, layer, self.statistics, self.pictures, min(image.shape[2:]))

    def _check(self, maps: torch.Tensor, layer: str) -> None:
        if maps.ndim != 4:
            raise ConfigError(f"methods.{self.label}.layer: {layer!r} gives no feature maps")
        if min(maps.shape[2:]) <= self._radius:
            raise BenchError(
                f"{layer}: maps of {maps.shape[3]}x{maps.shape[2]} are too small to be smoothed; "
                f"use a larger data.input_size, or methods.{self.label}.layer nearer to the input"
            )

    @property
    def _radius(self) -> int:
        return round(2 * self.sigma)

    def _hidden(self, alpha: torch.Tensor) -> torch.Tensor:
        """1 - λ, computed from the smoothed sigmoid(-α), because 1 - λ loses its digits where λ is near 1."""
        rows, columns = (
            mirrored_gaussian(length, self.sigma, self._radius, alpha.device) for length in alpha.shape[2:]
        )
        return (rows @ torch.sigmoid(-alpha) @ columns.T).clamp(min=_LEAST_HIDDEN)


@lru_cache(maxsize=8)
def mirrored_gaussian(length: int, sigma: float, radius: int, device: torch.device) -> torch.Tensor:
    """The Gaussian smoothing of a row of positions, as a matrix.

    On a GPU torch repeats the gradient of a product with a matrix to the bit, and not that of mirrored
    padding. The row is mirrored at its first and last position, which are not repeated.

    Args:
        length: number of positions, more than ``radius``.
        sigma: standard deviation of the Gaussian, in positions.
        radius: where it is cut off, in positions; the rest is scaled so that it sums to 1.
        device: where the matrix will be.

    Returns:
        (length, length) float32; each row sums to 1.
    """
    offsets = torch.arange(-radius, radius + 1)
    weights = torch.exp(-0.5 * (offsets.double() / sigma) ** 2)
    places = (torch.arange(length)[:, None] + offsets).abs()
    places = length - 1 - (length - 1 - places).abs()
    matrix = torch.zeros(length, length, dtype=torch.float64)
    return matrix.scatter_add_(1, places, (weights / weights.sum()).expand_as(places)).float().to(device)


def mixed(
    maps: torch.Tensor,
    hidden: torch.Tensor,
    statistics: LayerStatistics,
    samples: int,
    noise: torch.Generator,
) -> torch.Tensor:
    """Z = λR + (1 - λ)ε with new noise ε for every sample. Channels that are switched off are 0.

    Args:
        maps: R, (1, C, h, w) float32.
        hidden: 1 - λ, (1, C, h, w) in (0, 1].
        statistics: μ and σ of the channels.
        samples: S, the number of noises.
        noise: the generator that draws them.

    Returns:
        (S, C, h, w) float32.
    """
    epsilon = torch.randn(samples, *maps.shape[1:], generator=noise, device=maps.device)
    epsilon = epsilon.mul_(_std(statistics)).add_(statistics.mean)
    return torch.lerp(maps, epsilon, hidden) * _active(statistics)


def information(maps: torch.Tensor, hidden: torch.Tensor, statistics: LayerStatistics) -> torch.Tensor:
    """KL(N(λR + (1 - λ)μ, ((1 - λ)σ)²) ‖ N(μ, σ²)) of every value, in nats; 0 where switched off.

    Args:
        maps: R, (1, C, h, w) float32.
        hidden: 1 - λ, (1, C, h, w) in (0, 1].
        statistics: μ and σ of the channels.

    Returns:
        (1, C, h, w) float32, at least 0 but for rounding.
    """
    shift = (1 - hidden) * (maps - statistics.mean) / _std(statistics)
    return (0.5 * (shift**2 + hidden**2 - 1) - hidden.log()) * _active(statistics)


def _std(statistics: LayerStatistics) -> torch.Tensor:
    return statistics.std.clamp(min=_LEAST_STD)


def _active(statistics: LayerStatistics) -> torch.Tensor:
    return (statistics.nonzero > _LEAST_NONZERO).float()


def _surprise(outputs: torch.Tensor, target: int, score: ScoreName) -> torch.Tensor:
    """Mean of -log Ψ over (S, C) raw outputs. Where Ψ is the raw output itself, the softmax replaces it."""
    if score == "sigmoid":
        return F.softplus(-outputs[:, target]).mean()
    if score == "probability":
        return -outputs[:, target].clamp(min=torch.finfo(outputs.dtype).tiny).log().mean()
    return -outputs.log_softmax(dim=1)[:, target].mean()
