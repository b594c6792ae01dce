"""Explains one class of one picture with one method, and computes the metrics of the map."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from adasise_bench.data.dataset import Annotation
from adasise_bench.data.rules import Ties
from adasise_bench.methods import Explanation, Request
from adasise_bench.metrics.pair import Pair, compute
from adasise_bench.metrics.pixels import is_degenerate
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.record import Key, Record
from adasise_bench.utils.timing import PhaseClock, watch_peak_memory


class Truth(NamedTuple):
    """What is known of a pair in addition to its request.

    Attributes:
        annotation: the picture's objects.
        difficult: whether the pair is in the pointing game's difficult set; ``None`` if there is none.
        scores: gives Ψ of every class for the whole picture, (C,) float32; all its pairs share it.
        chance: what maps get that do not look at the picture, by the record's columns.
        classification: gives what the record says of how the network classifies the picture, by column.
        ties: the run's rule for equal pixels.
    """

    annotation: Annotation
    difficult: bool | None
    scores: Callable[[], torch.Tensor]
    chance: Mapping[str, float] = MappingProxyType({})
    classification: Callable[[], Mapping[str, Any]] = dict
    ties: Ties = "row-major"


def explain_and_measure(
    classifier: Classifier, request: Request, key: Key, truth: Truth, extra: Sequence[str] = ()
) -> tuple[Record, torch.Tensor]:
    """Explain a pair, take the time and the peak memory of this, and compute every metric.

    Args:
        classifier, request, key, truth, extra: as in :func:`measured`.

    Returns:
        The record and the (H, W) map.

    Raises:
        BenchError: the map or a score is not finite.
    """
    total, clock = PhaseClock(classifier.device), PhaseClock(classifier.device)
    peak_memory = watch_peak_memory(classifier.device)
    with total.phase("explanation"):
        explanation = request.method.explain(classifier, request, clock)
    seconds = {f"seconds_{phase}": seconds for phase, seconds in clock.phases.items()}
    seconds["seconds"] = total.phases["explanation"]
    peak = peak_memory()
    record = measured(classifier, request, key, truth, explanation, seconds, extra)
    return replace(record, peak_memory_mb=peak), explanation.saliency


def measured(
    classifier: Classifier,
    request: Request,
    key: Key,
    truth: Truth,
    explanation: Explanation,
    seconds: Mapping[str, float],
    extra: Sequence[str] = (),
) -> Record:
    """Compute every metric of an explanation.

    Args:
        classifier: the network.
        request: what was explained, with the class's region.
        key: names the record.
        truth: the objects of the picture.
        explanation: the map and what it cost.
        seconds: the record's run-times by name; empty if they were not measured.
        extra: metrics to compute of :data:`~adasise_bench.metrics.registry.EXTRA`.

    Raises:
        BenchError: the map or a score is not finite.
    """
    if request.inside is None:
        raise ValueError("the metrics need the region of the class")
    pair = Pair(
        classifier,
        request.image,
        request.target,
        str(key.class_name),
        explanation.saliency,
        request.inside.cpu(),
        truth.annotation,
        truth.difficult,
        truth.scores,
        partial(_explain, request),
        truth.ties,
    )
    values = compute(pair, extra)
    return Record(
        *key,
        **values,
        score=pair.score,
        box_share=100 * float(pair.inside.double().mean()),
        **truth.chance,
        **dict(seconds),
        forwards=explanation.forwards if request.method.makes_maps else None,
        backwards=explanation.backwards if request.method.makes_maps else None,
        maps_kept=explanation.maps_kept,
        maps_positive=explanation.maps_positive,
        maps_live=explanation.maps_live,
        mask_precision=explanation.mask_precision,
        degenerate=is_degenerate(pair.saliency),
        published_model=classifier.weights.published,
        weights=classifier.weights.sha256[:12],
        **truth.classification(),
    )


def _explain(request: Request, classifier: Classifier, image: torch.Tensor) -> torch.Tensor:
    """The map of the same request for another network or another input, (H, W)."""
    asked = request._replace(image=image)
    return request.method.explain(classifier, asked, PhaseClock(classifier.device)).saliency


def failed(key: Key, classifier: Classifier, reason: str) -> Record:
    """The record of an explanation that could not be made."""
    return Record(
        *key,
        error=reason,
        published_model=classifier.weights.published,
        weights=classifier.weights.sha256[:12],
    )
