"""A pair of picture and class with its map: everything that a metric can have as a parameter."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch

from adasise_bench.data.dataset import Annotation
from adasise_bench.data.rules import Ties
from adasise_bench.metrics.faithfulness import shown_part
from adasise_bench.metrics.localisation import region_of
from adasise_bench.metrics.pixels import pixel_order
from adasise_bench.metrics.registry import COMPUTED, EXTRA, METRICS
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError


@dataclass(frozen=True)
class Pair:
    """A map and everything that it can be compared with. Each name here can be a parameter of a metric.

    Attributes:
        classifier: the network that was explained.
        image: (1, 3, H, W) float32 network input, on the network's device.
        target: number of the class among the outputs.
        class_name: name of the class.
        explained: (H, W) float32 saliency map, at least 0, on the network's device.
        inside: (H, W) bool region of the class, in the size of the input, not empty, on any device.
        annotation: the objects of the picture.
        difficult: whether the pair is in the difficult set of the pointing game; ``None`` where the data has
            no such set.
        scores: gives Ψ of every class for the whole picture, (C,) float32; all pairs of the picture share it.
        explain: explains the same class of a (1, 3, H, W) network input on a network, which can be another
            input or another network than the pair's, and gives an (H, W) float32 map.
        ties: which of equal pixels belong to the highest N, see :func:`.top_pixels`.
    """

    classifier: Classifier
    image: torch.Tensor
    target: int
    class_name: str
    explained: torch.Tensor
    inside: torch.Tensor
    annotation: Annotation
    difficult: bool | None
    scores: Callable[[], torch.Tensor]
    explain: Callable[[Classifier, torch.Tensor], torch.Tensor]
    ties: Ties = "row-major"

    @cached_property
    def _numbers(self) -> tuple[float, float, torch.Tensor]:
        """Ψ(I), Ψ(I⊙T) and the order of the map's pixels; the host waits for the device only once."""
        order = pixel_order(self.explained)
        # Always one input alone, even where several are explained together: scores round differently in
        # batches of another size, and a record must not depend on what was computed beside it.
        shown_input = shown_part(self.image, self.explained, order, self.ties)
        scores_shown = self.classifier.reference_scores(shown_input)[0]
        score, shown = torch.stack([self.scores()[self.target], scores_shown[self.target]]).tolist()
        return score, shown, order.cpu()

    @property
    def score(self) -> float:
        """Ψ(I): the score of the class for the whole picture."""
        return self._numbers[0]

    @property
    def score_shown(self) -> float:
        """Ψ(I⊙T): the score of the class when only the highest 15 % of the map's pixels are shown."""
        return self._numbers[1]

    @property
    def order(self) -> torch.Tensor:
        """(H·W,) int64 on the CPU: the pixels from the highest to the lowest, see :func:`.pixel_order`."""
        return self._numbers[2]

    @cached_property
    def saliency(self) -> torch.Tensor:
        """The (H, W) map on the CPU: one copy costs less than a wait for every number read from it."""
        return self.explained.cpu()

    @cached_property
    def region(self) -> torch.Tensor | None:
        """The (H', W') bool region of the class in the picture's own size, on the CPU.

        ``None`` where VOC marks all objects of the class as "difficult"; these do not count.
        """
        return region_of(self.annotation, self.class_name)

    def refuse_not_finite(self) -> None:
        """Refuse a map or a score that is infinite or not a number: no metric of it means anything.

        Raises:
            BenchError: the map or a score is not finite.
        """
        scores = self.score, self.score_shown
        if not (torch.isfinite(self.saliency).all() and all(map(math.isfinite, scores))):
            raise BenchError("the map or a score is not finite for this picture")


def compute(pair: Pair, extra: Sequence[str] = ()) -> dict[str, float | None]:
    """Compute the metrics of a pair: all that need no further pass through the network, and ``extra``.

    Args:
        pair: what was explained; its ``inside`` is on the CPU.
        extra: names of metrics in :data:`.EXTRA`.

    Returns:
        Values by name, in the order of the registry. Metrics without a meaning for the score Ψ are left out.

    Raises:
        BenchError: the map or a score is not finite.
    """
    pair.refuse_not_finite()
    values: dict[str, float | None] = {}
    for name in COMPUTED:
        metric = METRICS[name]
        if (name in EXTRA and name not in extra) or metric.possible(pair.classifier.score) is None:
            continue
        values[name] = metric.load()(**{part: _part(pair, values, part) for part in _parameters(name)})
    return values


def _part(pair: Pair, values: Mapping[str, float | None], name: str) -> object:
    """The value of a metric's parameter: a metric that was computed before, or an attribute of the pair."""
    return values[name] if name in values else getattr(pair, name)


@cache
def _parameters(name: str) -> tuple[str, ...]:
    return tuple(inspect.signature(METRICS[name].load()).parameters)
