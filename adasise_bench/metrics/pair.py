"""One explained pair of picture and class: what the metrics may ask of it."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property

import torch

from adasise_bench.data.dataset import Annotation
from adasise_bench.metrics.faithfulness import shown_part
from adasise_bench.metrics.localisation import region_of
from adasise_bench.metrics.pixels import pixel_order
from adasise_bench.metrics.registry import COMPUTED, EXTRA, METRICS
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError


@dataclass(frozen=True)
class Pair:
    """A map and everything that it may be held against. Each name here can be a parameter of a metric.

    Attributes:
        classifier: the network that was explained.
        image: (1, 3, H, W) float32 network input, on the network's device.
        target: the class's number among the outputs.
        class_name: its name.
        explained: (H, W) float32 saliency map, at least 0, on the network's device.
        inside: (H, W) bool region of the class in the input's frame, not empty, on any device.
        annotation: the picture's objects.
        difficult: whether the pair is in the pointing game's difficult set; ``None`` if there is none.
        scores: gives Ψ of every class for the whole picture, (C,) float32; all its pairs share it.
        explain: explains the same pair on another network: (H, W) float32.
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
    explain: Callable[[Classifier], torch.Tensor]

    @cached_property
    def _numbers(self) -> tuple[float, float, torch.Tensor]:
        """Ψ(I) and Ψ(I⊙T) by one wait for the device, and the order of the map's pixels."""
        order = pixel_order(self.explained)
        # One input alone, also where several are explained together: in batches of other sizes scores round
        # differently, and a record must not depend on what it was made with.
        scores_shown = self.classifier.reference_scores(shown_part(self.image, self.explained, order))[0]
        score, shown = torch.stack([self.scores()[self.target], scores_shown[self.target]]).tolist()
        return score, shown, order.cpu()

    @property
    def score(self) -> float:
        """Ψ(I): the score of the class for the whole picture."""
        return self._numbers[0]

    @property
    def score_shown(self) -> float:
        """Ψ(I⊙T): its score when only the map's top 15 % pixels are shown."""
        return self._numbers[1]

    @property
    def order(self) -> torch.Tensor:
        """(H·W,) int64 on the CPU: the pixels from the highest, see :func:`.pixel_order`."""
        return self._numbers[2]

    @cached_property
    def saliency(self) -> torch.Tensor:
        """The (H, W) map on the CPU: one copy, instead of a wait at every number taken from it."""
        return self.explained.cpu()

    @cached_property
    def region(self) -> torch.Tensor | None:
        """(H', W') bool region in the picture's own frame, on the CPU.

        ``None`` where all objects of the class are "difficult" in VOC's sense, which do not count.
        """
        return region_of(self.annotation, self.class_name)

    def refuse_not_finite(self) -> None:
        """Refuse a map, or a score, with which nothing can be computed.

        Raises:
            BenchError: the map or a score is not finite.
        """
        scores = self.score, self.score_shown
        if not (torch.isfinite(self.saliency).all() and all(map(math.isfinite, scores))):
            raise BenchError("the map or a score is not finite for this picture")


def compute(pair: Pair, extra: Sequence[str] = ()) -> dict[str, float | None]:
    """All metrics of a pair that cost no further passes, and those of ``extra``, in the registry's order.

    Args:
        pair: what was explained; its ``inside`` on the CPU.
        extra: names of :data:`.EXTRA`.

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
    """What a parameter of a metric stands for: a metric that was computed before, or a part of the pair."""
    return values[name] if name in values else getattr(pair, name)


@cache
def _parameters(name: str) -> tuple[str, ...]:
    return tuple(inspect.signature(METRICS[name].load()).parameters)
