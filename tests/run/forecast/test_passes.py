"""How many inputs pass, held against counting them picture by picture."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import pytest
import torch
from conftest import explained

from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.forecast.passes import Passes, expected_passes
from adasise_bench.run.forecast.pictures import Pictures

PICTURES = Pictures("drawn", {"a": 1, "b": 3, "c": 0, "d": 1}, ("x", "y", "z"))
MAPS = (6, 12)


def config(**changes: Any) -> RunConfig:
    tree = {"models": {"resnet50": {}}, "methods": ["sise", "ada_sise", {"name": "rise", "masks": 40}]}
    return validate(tree | changes, "test")


def passes(**changes: Any) -> list[Passes]:
    return list(expected_passes(config(**changes), PICTURES, {"resnet50": MAPS}))


def test_without_sharing_every_pair_takes_the_same() -> None:
    assert [(one.labels, one.explanations, one.forwards, one.backwards) for one in passes()] == [
        (("sise",), 5, 5 * (1 + 9), 5),
        (("ada_sise",), 5, 5 * (1 + 6), 5),
        (("rise",), 5, 5 * 40, 0),
    ]


def test_what_is_shared_counts_once_a_picture() -> None:
    one_class, three_classes = 1 + 9, 1 + int(18 * Fraction(7, 8))
    assert [(one.labels, one.explanations, one.forwards) for one in passes(share_forwards=True)] == [
        (("sise", "ada_sise"), 10, 2 * one_class + three_classes),
        (("rise",), 5, 3 * 40),
    ]


def test_the_union_of_the_classes_masks_is_that_of_independent_choices() -> None:
    """Of all ways in which three classes keep a map or not, with the probability of each."""
    share = Fraction(1, 3)
    kept = sum(
        (share ** sum(way) * (1 - share) ** (3 - sum(way)) for way in product((0, 1), repeat=3) if any(way)),
        Fraction(0),
    )
    method = parse_method("ada_sise")
    assert method.expected_together([method], (27,), 3) == 1 + 27 * kept == 20


def test_the_extra_metrics_are_computed_for_every_explanation() -> None:
    plain, more = passes(share_forwards=True), passes(share_forwards=True, extra_metrics=["head_sensitivity"])
    assert [(b.forwards or 0) - (a.forwards or 0) for a, b in zip(plain, more, strict=True)] == [
        5 * (10 + 7),
        5 * 40,
    ]


def test_the_asked_for_metrics_are_counted() -> None:
    plain, more = (
        passes(measures=names, data={"input_size": 48}) for names in ([], ["deletion", "head_sensitivity"])
    )
    for base, asked in zip(plain, more, strict=True):
        assert base.forwards is not None
        assert asked.forwards == 2 * base.forwards + 5 * 49


def test_rise_is_told_which_network_it_runs_on() -> None:
    both = config(models={"vgg16": {}, "resnet50": {}}, methods=["rise"])
    found = expected_passes(both, PICTURES, dict.fromkeys(both.models, MAPS))
    assert [(one.model, one.forwards) for one in found] == [("vgg16", 4000 * 5), ("resnet50", 8000 * 5)]


def test_of_a_network_that_is_not_known_nothing_is_known() -> None:
    found = list(expected_passes(config(), PICTURES, {"resnet50": None}))
    assert {(one.forwards, one.backwards) for one in found} == {(None, None)}
    assert [one.explanations for one in found] == [5, 5, 5]


@pytest.mark.parametrize("entry", ["cam", "grad_cam", "grad_cam_pp", {"name": "rise", "masks": 9}])
def test_the_classes_of_a_picture_take_together_what_passes_the_network(
    entry: Any, tiny: Classifier, image: torch.Tensor
) -> None:
    method, passed = parse_method(entry), 0
    alone = replace(tiny, batch_size=BatchSize(1), engine=Engine("contiguous", 1))  # no batch is filled up

    def count(_module: object, inputs: tuple[torch.Tensor], _outputs: object) -> None:
        nonlocal passed
        passed += len(inputs[0])

    for classes in (1, 3):
        requests = [Request(method, image, target) for target in range(classes)]
        passed = 0
        handle = tiny.module.register_forward_hook(count)
        try:
            method.explain_together(alone, requests)
        finally:
            handle.remove()
        assert passed == method.expected_together([method], (6, 8, 10), classes)


def test_other_methods_share_nothing(tiny: Classifier, image: torch.Tensor) -> None:
    method = parse_method({"name": "integrated_gradients", "steps": 7})
    each = explained({"name": "integrated_gradients", "steps": 7}, tiny, image, 0).forwards
    assert method.expected_together([method], (6, 8, 10), 3) == 3 * each
