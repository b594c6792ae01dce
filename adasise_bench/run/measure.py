"""Explains one class of one picture with one method, and measures the map."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch

from adasise_bench.data.dataset import Annotation
from adasise_bench.methods import Explanation, Request
from adasise_bench.metrics import measured_metrics as metrics
from adasise_bench.metrics.network_metrics import NETWORK_MEASURES
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.record import Key, Record
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.timing import PhaseClock, watch_peak_memory


class Truth(NamedTuple):
    """What is known of a pair beside the region that its request carries.

    Attributes:
        annotation: the picture's objects.
        difficult: whether the pair is in the pointing game's difficult set; ``None`` if there is none.
        scores: gives Ψ of every class for the whole picture, (C,) float32; all its pairs share it.
    """

    annotation: Annotation
    difficult: bool | None
    scores: Callable[[], torch.Tensor]


def explain_and_measure(
    classifier: Classifier, request: Request, key: Key, truth: Truth, extra: Sequence[str] = ()
) -> tuple[Record, torch.Tensor]:
    """Explain, with the clock running and the memory watched, and compute every measure.

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
    """Compute every measure of an explanation.

    Args:
        classifier: the network.
        request: what was explained, with the class's region.
        key: names the record.
        truth: the objects of the picture.
        explanation: the map and what it cost.
        seconds: the record's run-times by name; empty where they were not measured.
        extra: what to measure of ``NETWORK_MEASURES``.

    Raises:
        BenchError: the map or a score is not finite.
    """
    image, target, inside = request.image, request.target, request.inside
    if inside is None:
        raise ValueError("nothing can be measured without the class's region")
    order = metrics.pixel_order(explanation.saliency)
    # One input alone, also where several are explained together: in batches of other sizes scores round
    # differently, and a record must not depend on what it was made with.
    scores_shown = classifier.scores(metrics.shown_part(image, explanation.saliency, order))[0]
    score, shown = torch.stack([truth.scores()[target], scores_shown[target]]).tolist()
    # One copy of the map, instead of a wait for the device at every number that is taken from it.
    saliency, order, inside = explanation.saliency.cpu(), order.cpu(), inside.cpu()
    if not (torch.isfinite(saliency).all() and math.isfinite(score) and math.isfinite(shown)):
        raise BenchError("the map or a score is not finite for this picture")
    asked = {name: NETWORK_MEASURES[name](classifier, request, explanation.saliency) for name in extra}
    hit = pointing_game(saliency, truth.annotation, str(key.class_name))
    return Record(
        *key,
        ebpg=metrics.ebpg(saliency, inside),
        bbox=metrics.bbox(saliency, inside, order),
        drop=metrics.drop(score, shown),
        increase=metrics.increase(score, shown),
        miou=metrics.miou(saliency, inside, order),
        pointing=hit,
        pointing_difficult=hit if truth.difficult else None,
        average_gain=None if classifier.score == "logit" else metrics.average_gain(score, shown),
        score=score,
        box_share=100 * float(inside.double().mean()),
        **(asked | dict(seconds)),  # type: ignore[arg-type]
        forwards=explanation.forwards,
        backwards=explanation.backwards,
        maps_kept=explanation.maps_kept,
        maps_positive=explanation.maps_positive,
        degenerate=metrics.is_degenerate(saliency),
        published_model=classifier.weights.published,
        weights=classifier.weights.sha256[:12],
    )


def pointing_game(saliency: torch.Tensor, annotation: Annotation, class_name: str) -> float | None:
    """Whether the map points at the class, as TorchRay's benchmark counts it.

    Args:
        saliency: (H, W) map on the CPU.
        annotation: the picture's objects.
        class_name: the class that was explained.

    Returns:
        100 or 0; ``None`` where all objects of the class are "difficult" in VOC's sense, which do not count.
    """
    if all(box.difficult for box in annotation.boxes if box.class_name == class_name):
        return None
    width, height = annotation.picture_size
    return metrics.pointing(saliency, annotation.inside(class_name, (height, width)))


def failed(key: Key, classifier: Classifier, reason: str) -> Record:
    """The record of an explanation that could not be made."""
    return Record(
        *key,
        error=reason,
        published_model=classifier.weights.published,
        weights=classifier.weights.sha256[:12],
    )
