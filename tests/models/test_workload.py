"""How much filling up the last batch costs, against counting batches one by one."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from adasise_bench.methods.base import Request
from adasise_bench.methods.extremal_perturbation.extremal_perturbation import OBJECTIVES
from adasise_bench.methods.parsing import parse_method
from adasise_bench.metrics.registry import scored_inputs
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.backends.gradient_graph import Objective
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.workload import GradientPasses, Workload
from adasise_bench.utils.timing import PhaseClock


def passed(count: int, batch_size: int) -> int:
    """Inputs that pass for ``count`` of them, batch by batch."""
    total = 0
    while total < count:
        total += batch_size
    return total


@pytest.mark.parametrize("batch_size", [1, 7, 32, 512])
def test_padding_is_that_of_whole_batches(batch_size: int) -> None:
    counts = range(90, 131), range(8000, 8001)
    asked = sum(sum(some) / len(some) for some in counts)
    whole = sum(sum(passed(n, batch_size) for n in some) / len(some) for some in counts)
    assert Workload(counts, 3).padding(batch_size) == pytest.approx(whole / asked, rel=1e-12)


def test_half_a_batch_is_lost_where_the_count_varies() -> None:
    varying = Workload((range(1537, 2305),), 1)
    lost = (varying.padding(256) - 1) * varying.forwards
    assert lost == pytest.approx(128, abs=1)


def test_nothing_known_is_nothing_lost() -> None:
    assert Workload().padding(512) == 1
    assert Workload().forwards == 0
    assert not Workload().even_splits(512)


def test_an_even_split_takes_as_many_passes() -> None:
    assert Workload((range(8000, 8001),), 1).even_splits(512) == [500]
    assert Workload((range(225, 226), range(1561, 2344)), 1).even_splits(512) == [225, 469]
    assert Workload((range(256, 257),), 1).even_splits(256) == []


def test_a_run_scores_what_its_explanations_do() -> None:
    assert Workload((range(225, 226), range(90, 111)), 10).forwards == 10 * (225 + 100)


@pytest.mark.parametrize("name", ["sise", "ada_sise", "score_cam", "rise"])
@pytest.mark.parametrize("model", ["resnet50", "vgg16"])
def test_methods_expect_to_score_about_what_they_plan(name: str, model: str) -> None:
    maps = ARCHITECTURES[model].maps
    method = parse_method(name).on_network(model)
    counts, planned = method.scored_inputs(maps), method.expected_forwards(maps)
    assert counts
    assert planned is not None
    assert planned - 1 in counts or planned in counts
    assert 0 not in counts


@pytest.mark.parametrize("name", ["grad_cam", "extremal_perturbation", "lrp", "random"])
def test_other_methods_fill_no_batches(name: str) -> None:
    assert not parse_method(name).scored_inputs(ARCHITECTURES["resnet50"].maps)


def test_measures_score_their_steps() -> None:
    own = range(3, 9)
    asked = scored_inputs(["insertion", "deletion", "head_sensitivity", "road", "adcc"], 224, own)
    assert asked == [range(225, 226), range(225, 226), own, range(18, 19), own]


def test_a_pass_with_gradients_counts_as_three_forwards() -> None:
    simple = OBJECTIVES["simple"]
    workload = Workload((range(100, 101),), 10, (GradientPasses(40, 4, simple), GradientPasses(7, 1, simple)))
    assert workload.forwards == 10 * 100
    assert workload.passes == 10 * (100 + 3 * (40 + 7))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"iterations": 20}, GradientPasses(76, 4, OBJECTIVES["simple"])),
        (
            {"iterations": 20, "preset": "single-area"},
            GradientPasses(19, 1, OBJECTIVES["contrastive"]),
        ),
        ({"iterations": 1}, None),
        ({"implementation": "torchray"}, None),
    ],
)
def test_extremal_perturbation_tells_its_passes(
    tiny: Classifier,
    image: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, object],
    expected: GradientPasses | None,
) -> None:
    """What it tells is what it asks the network for: number, layout and objective."""
    method = parse_method({"name": "extremal_perturbation"} | options)
    assert method.gradient_passes() == expected
    if expected is None:
        return
    asked: list[tuple[torch.Tensor, torch.Tensor, Objective]] = []
    plain = Classifier.input_gradient

    def noted(self: Classifier, *given: Any) -> torch.Tensor:
        asked.append(given)  # type: ignore[arg-type]
        return plain(self, *given)

    monkeypatch.setattr(Classifier, "input_gradient", noted)
    method.explain(tiny, Request(method, image, 1), PhaseClock(tiny.device))
    inputs, targets, objective = expected.example(image)
    for given, classes, wanted in asked:
        assert (given.shape, given.stride()) == (inputs.shape, inputs.stride())
        assert (classes.shape, classes.dtype, wanted) == (targets.shape, targets.dtype, objective)
    assert sum(len(given) for given, _, _ in asked) == expected.inputs


@pytest.mark.parametrize("name", ["sise", "rise", "gradient", "integrated_gradients", "grad_cam"])
def test_gradients_of_other_methods_are_torch_s(name: str) -> None:
    assert parse_method(name).gradient_passes() is None
