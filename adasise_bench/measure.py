"""Explains one class of one picture with one method, and measures the map."""

from __future__ import annotations

import torch

from adasise_bench import metrics
from adasise_bench.errors import BenchError
from adasise_bench.methods import MethodOptions
from adasise_bench.models.classifier import Classifier
from adasise_bench.records import Key, Record
from adasise_bench.timing import PhaseClock


def explain_and_measure(
    classifier: Classifier,
    method: MethodOptions,
    key: Key,
    image: torch.Tensor,
    inside: torch.Tensor,
    batch_size: int,
) -> tuple[Record, torch.Tensor]:
    """Explain ``key.class_name`` and compute every measure.

    Args:
        classifier: the network.
        method: the method, with its options.
        key: names the record; its class is explained.
        image: (1, 3, H, W) network input on the classifier's device; loading is not timed.
        inside: (H, W) bool, the class's boxes, on the same device.
        batch_size: inputs per forward pass.

    Returns:
        The record and the (H, W) map.

    Raises:
        BenchError: the map or a score is not finite.
    """
    target = classifier.classes.index(str(key.class_name))
    total, clock = PhaseClock(classifier.device), PhaseClock(classifier.device)
    with total.phase("explanation"):
        explanation = method.explain(classifier, image, target, batch_size, clock)
    saliency = explanation.saliency
    score = float(classifier.scores(image)[0, target])
    shown = float(classifier.scores(metrics.shown_part(image, saliency))[0, target])
    if not (torch.isfinite(saliency).all() and torch.isfinite(torch.tensor([score, shown])).all()):
        raise BenchError("the map or a score is not finite for this picture")
    record = Record(
        *key,
        ebpg=metrics.ebpg(saliency, inside),
        bbox=metrics.bbox(saliency, inside),
        drop=metrics.drop(score, shown),
        increase=metrics.increase(score, shown),
        miou=metrics.miou(saliency, inside),
        score=score,
        box_share=100 * float(inside.double().mean()),
        seconds=total.phases["explanation"],
        **{f"seconds_{phase}": seconds for phase, seconds in clock.phases.items()},  # type: ignore[arg-type]
        forwards=explanation.forwards,
        backwards=explanation.backwards,
        maps_kept=explanation.maps_kept,
        maps_positive=explanation.maps_positive,
        degenerate=metrics.is_degenerate(saliency),
        published_model=classifier.weights.published,
        weights=classifier.weights.sha256[:12],
    )
    return record, saliency


def failed(key: Key, classifier: Classifier, reason: str) -> Record:
    """The record of an explanation that could not be made."""
    return Record(
        *key,
        error=reason,
        published_model=classifier.weights.published,
        weights=classifier.weights.sha256[:12],
    )
