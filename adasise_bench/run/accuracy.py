"""Measures how well the networks of a configuration classify its pictures, without any explanation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

import numpy as np
import torch

from adasise_bench.data.dataset import Annotation
from adasise_bench.models.batching import torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.lost_device import named_if_lost
from adasise_bench.models.scoring import in_batches
from adasise_bench.reporting.tables import Table, Tables, title_of
from adasise_bench.reporting.tables.accuracy import (
    AccuracyEstimate,
    accuracy_notes,
    accuracy_table,
    estimate_accuracy,
)
from adasise_bench.reporting.tables.deviations import settings_deviations, weights_deviations
from adasise_bench.reporting.tables.notes import statistics_notes
from adasise_bench.reporting.tables.setting_notes import incomparable, rules_notes, weights_reasons
from adasise_bench.run import network
from adasise_bench.run.classification import Classification
from adasise_bench.run.config import RunConfig
from adasise_bench.run.plan import Plan, make_plan
from adasise_bench.run.worker import load_ahead
from adasise_bench.utils.determinism import deterministic
from adasise_bench.utils.devices import machine, pick_device
from adasise_bench.utils.errors import BenchError, DataError
from adasise_bench.utils.messages import printable
from adasise_bench.utils.progress_bar import Bar


def measure_accuracy(config: RunConfig) -> tuple[Tables, int]:
    """Score every picture of the configuration with every network, in batches.

    Args:
        config: a run's; its methods and extra metrics are not used.

    Returns:
        A table per network, and the number of pictures that could not be used.

    Raises:
        BenchError: bad data root, weights or device, scores that are not finite, or no usable picture.
    """
    config = config.model_copy(update={"methods": [], "extra_metrics": []})
    device = pick_device(config.device)
    plan = make_plan(config)
    tables: list[Table] = []
    reasons: list[str] = []
    errors: dict[str, DataError] = {}
    with deterministic(config.deterministic), named_if_lost(device), torch_failures():
        for name in config.models:
            classifier = network.load(config, name, device, plan.dataset.classes)
            network.refuse_missing_classes(classifier, plan.dataset)
            classifier = network.with_engine(config, classifier)
            found = _accuracy_of(plan, classifier, errors)
            facts = network.facts(classifier)
            tables.append(accuracy_table(name, plan.dataset.name, found, [*_deviations(plan, facts)]))
            reasons += weights_reasons(name, facts)
    unusable = [
        f"Images that cannot be used: {len(errors)}, for example {error}." for error in [*errors.values()][:1]
    ]
    notes = [*unusable, *incomparable(reasons), *rules_notes(_rules(config))]
    notes += [*accuracy_notes(tables), *statistics_notes(tables), *_notes(plan, device, errors)]
    return Tables(tuple(tables), tuple(map(printable, notes))), len(errors)


def _rules(config: RunConfig) -> dict[str, str]:
    """The rules that have to do with how a picture enters the network."""
    return config.rules.model_dump(include={"preprocessing"})


def _deviations(plan: Plan, facts: Mapping[str, Any]) -> Iterator[str]:
    """Which settings are not the protocol's; ``facts`` is what is known of the network."""
    config = plan.config
    yield from settings_deviations(config.data.model_dump(), config.score, _rules(config))
    yield from weights_deviations(facts)
    yield from _coverage(plan)


def _coverage(plan: Plan) -> Iterator[str]:
    whole, _ = plan.dataset.full_size
    if len(plan.annotations) < whole:
        yield f"{len(plan.annotations)} of {whole} images"


def _accuracy_of(plan: Plan, classifier: Classifier, errors: dict[str, DataError]) -> AccuracyEstimate:
    """The network's accuracy; what cannot be used is put into ``errors`` by its image id."""
    found = list(_classifications(plan, classifier, errors))
    if not found:
        reason = next(iter(errors.values()), "there are none")
        raise DataError(f"{plan.dataset.name}: no picture can be used: {reason}")
    annotated, difficult = np.zeros((2, len(found), len(plan.dataset.classes)), np.bool_)
    for row, one in enumerate(found):
        annotated[row, one.annotated] = difficult[row, one.difficult] = True
    return estimate_accuracy(torch.stack([one.scores for one in found]).numpy(), annotated, difficult)


def _classifications(
    plan: Plan, classifier: Classifier, errors: dict[str, DataError]
) -> Iterator[Classification]:
    outputs, classes = classifier.classes, plan.dataset.classes
    anything: dict[str, str | None] = dict.fromkeys(plan.annotations)
    pictures = load_ahead(plan, plan.annotations, anything, classifier.preprocessing)
    title = title_of(classifier.name)
    with Bar(len(plan.annotations), "picture", title=title) as bar:
        for batch in _batches(pictures, classifier, errors, bar):
            inputs = [image for _, _, image in batch]
            scores = torch.cat([part.cpu() for part in _scored(classifier, inputs)])
            for (image_id, annotation, _), of_one in zip(batch, scores, strict=True):
                if not of_one.isfinite().all():
                    raise BenchError(f"{image_id}: scores that are not finite")
                yield Classification.of(of_one, outputs, classes, annotation)
            bar.update(len(batch))


def _scored(classifier: Classifier, inputs: list[torch.Tensor]) -> Iterator[torch.Tensor]:
    """Ψ of inputs of one size in fp32, (N, C) in pieces; fewer at a time where memory does not suffice."""

    def score(start: int, stop: int) -> torch.Tensor:
        return classifier.reference_scores(torch.cat(inputs[start:stop]).to(classifier.device))

    return (scores for _, scores in in_batches(classifier, len(inputs), score))


_Loaded = tuple[str, Annotation, torch.Tensor]


def _batches(
    pictures: Iterator[tuple[str, tuple[Annotation, torch.Tensor] | DataError]],
    classifier: Classifier,
    errors: dict[str, DataError],
    bar: Bar,
) -> Iterator[list[_Loaded]]:
    """Neighbouring pictures of one input size, at most as many as pass through the network at once."""

    def usable() -> Iterator[_Loaded]:
        for image_id, loaded in pictures:
            if isinstance(loaded, DataError):
                errors[image_id] = loaded
                bar.update()
            else:
                yield image_id, *loaded

    for _, alike in groupby(usable(), key=lambda one: one[2].shape):
        batch: list[_Loaded] = []
        for one in alike:
            batch.append(one)
            if len(batch) >= classifier.batch_size.value:
                yield batch
                batch = []
        if batch:
            yield batch


def _notes(plan: Plan, device: torch.device, errors: dict[str, DataError]) -> Iterator[str]:
    """What was measured on what."""
    config, data = plan.config, plan.config.data
    yield from (f"{covered}." for covered in _coverage(plan))
    yield (
        f"{plan.dataset.name}, input {data.input_size} px ({data.resize}), score {config.score}, "
        f"{machine(device)[0]}, fp32, torch {torch.__version__}."
    )
    yield from (f"{note}." for note in plan.notes)
