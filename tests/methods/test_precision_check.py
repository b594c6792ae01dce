"""Masks are scored in a faster precision only where a sample of them says that their weights stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from adasise_bench.methods import Explanation, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.precision_check import MOST_MOVED, agreeing_precisions, moved_weight, spread
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock

METHODS = ["sise", "ada_sise", {"name": "rise", "masks": 64}, "score_cam"]


def test_moved_weight_is_the_total_variation_distance() -> None:
    generator = torch.Generator().manual_seed(0)
    exact, rounded = torch.rand(2, 9, 3, generator=generator, dtype=torch.float64)
    expected = []
    for column in range(3):
        shares = [scores[:, column] / scores[:, column].sum() for scores in (exact, rounded)]
        expected.append(sum(abs(float(one - other)) for one, other in zip(*shares, strict=True)) / 2)
    assert moved_weight(exact, rounded).tolist() == pytest.approx(expected)
    assert moved_weight(exact, exact * 3).tolist() == pytest.approx([0, 0, 0], abs=1e-12)
    assert moved_weight(exact[:0], exact[:0]).tolist() == [0, 0, 0]
    zeros = torch.zeros(2, 1)
    assert moved_weight(zeros, zeros).tolist() == [0]
    assert moved_weight(torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]])).tolist() == [1]
    assert moved_weight(torch.tensor([[float("nan")]]), torch.tensor([[1.0]])).isnan().all()


def test_a_sample_is_spread_evenly() -> None:
    assert spread(3, 8).tolist() == [0, 1, 2]
    assert spread(12, 3).tolist() == [2, 6, 10]
    assert spread(0, 4).tolist() == []


class Rounding(Classifier):
    """Scores that the precisions in ``rounded`` change, for the classes that ``wrong`` names."""

    wrong: tuple[int, ...] = ()
    rounded: tuple[str, ...] = ("bf16", "int8")
    asked: list[str]

    def scores(self, inputs: torch.Tensor) -> torch.Tensor:
        self.asked.append(self.precision)
        exact = super().reference_scores(inputs)
        if self.precision == "fp32":
            return exact
        found = exact * (1 + 1e-4)
        noise = inputs.flatten(1).sum(dim=1).sin().abs()  # depends on the input alone
        for target in self.wrong if self.precision in self.rounded else ():
            found[:, target] = noise
        return found


@pytest.fixture
def rounding(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Classifier]:
    asked: list[str] = []
    monkeypatch.setattr(Rounding, "asked", asked, raising=False)

    def make(*wrong: int, precision: str = "bf16") -> Classifier:
        monkeypatch.setattr(Rounding, "wrong", wrong)
        fields = {name: getattr(tiny, name) for name in tiny.__dataclass_fields__}
        return Rounding(**(fields | {"precision": precision}))  # type: ignore[arg-type]

    return make


def alone(entry: object, classifier: Classifier, image: torch.Tensor, target: int) -> Explanation:
    method = parse_method(entry)
    return method.explain(classifier, Request(method, image, target), PhaseClock(classifier.device))


@pytest.mark.parametrize("entry", METHODS)
def test_where_the_sample_disagrees_the_map_is_that_of_fp32(
    entry: object, rounding: Callable[..., Classifier], image: torch.Tensor
) -> None:
    for target in range(4):
        exact = alone(entry, rounding(precision="fp32"), image, target)
        found = alone(entry, rounding(target), image, target)
        assert torch.equal(found.saliency, exact.saliency)
        assert (exact.mask_precision, found.mask_precision) == (None, "fp32")


@pytest.mark.parametrize("entry", METHODS)
def test_where_it_agrees_the_faster_precision_is_kept(
    entry: object, rounding: Callable[..., Classifier], image: torch.Tensor
) -> None:
    found = alone(entry, rounding(1), image, 0)
    assert found.mask_precision == "bf16"
    exact = alone(entry, rounding(precision="fp32"), image, 0)
    torch.testing.assert_close(found.saliency, exact.saliency, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("entries", [["sise", "ada_sise"], [METHODS[2]], ["score_cam"]])
def test_explained_together_every_explanation_is_what_it_is_alone(
    entries: list[object], rounding: Callable[..., Classifier], image: torch.Tensor
) -> None:
    classifier = rounding(1, 3)
    requests = [Request(parse_method(entry), image, target) for target in (3, 0, 1, 2) for entry in entries]
    together = requests[0].method.explain_together(classifier, requests)
    for request, found in zip(requests, together, strict=True):
        expected = request.method.explain(classifier, request, PhaseClock(classifier.device))
        assert torch.equal(found.saliency, expected.saliency)
        assert found.mask_precision == expected.mask_precision
    assert {found.mask_precision for found in together} == {"fp32", "bf16"}


def test_int8_must_agree_more_closely(
    rounding: Callable[..., Classifier], image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A share of 7 % moves: between the bounds of int8 and bf16."""
    masks = torch.rand(2, 48, 40, generator=torch.Generator().manual_seed(1))
    exact = torch.tensor([[0.5], [0.5]])
    monkeypatch.setattr(
        "adasise_bench.methods.precision_check._scores",
        lambda classifier, _image, _masks: (
            exact if classifier.precision == "fp32" else torch.tensor([[0.57], [0.43]])
        ),
    )
    for name, expected in (("int8", "bf16"), ("bf16", "bf16"), ("fp16", "fp16"), ("tf32", "tf32")):
        classifier = rounding(precision=name)
        assert agreeing_precisions(classifier, image, lambda: [masks], [0]) == [expected]


@pytest.mark.parametrize("entries", [["sise", "ada_sise"], [METHODS[2]], ["score_cam"]])
def test_where_int8_disagrees_bf16_is_tried_before_fp32(
    entries: list[object],
    rounding: Callable[..., Classifier],
    image: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    requests = [Request(parse_method(entry), image, target) for target in (3, 0) for entry in entries]

    def explained() -> list[Explanation]:
        return requests[0].method.explain_together(rounding(3, precision="int8"), requests)

    both = explained()
    monkeypatch.setattr(Rounding, "rounded", ("int8",))
    only_int8 = explained()
    for request, one, other in zip(requests, both, only_int8, strict=True):
        exact = alone(request.method, rounding(precision="fp32"), image, request.target)
        coarse = alone(request.method, rounding(precision="bf16"), image, request.target)
        expected = ("fp32", "bf16") if request.target == 3 else ("int8", "int8")
        assert (one.mask_precision, other.mask_precision) == expected
        if request.target == 3:
            assert torch.equal(one.saliency, exact.saliency)
            assert torch.equal(other.saliency, coarse.saliency)


def test_bf16_is_asked_for_a_sample_only_where_int8_disagrees(
    rounding: Callable[..., Classifier], image: torch.Tensor
) -> None:
    alone({"name": "rise", "masks": 8}, rounding(precision="int8"), image, 0)
    assert set(Rounding.asked) == {"fp32", "int8"}


def test_fp32_scores_no_sample(rounding: Callable[..., Classifier], image: torch.Tensor) -> None:
    classifier = rounding(precision="fp32")
    found = alone({"name": "rise", "masks": 32}, classifier, image, 0)
    assert Rounding.asked == ["fp32"] * 2
    assert found.mask_precision is None


def test_the_bound_is_on_any_block(rounding: Callable[..., Classifier], image: torch.Tensor) -> None:
    """Scores that only one of the blocks' masks get wrong are enough."""
    classifier = rounding()
    near, far = torch.rand(2, 6, 48, 40, generator=torch.Generator().manual_seed(1))
    assert agreeing_precisions(classifier, image, lambda: [near, far], [0]) == ["bf16"]
    calls = []

    def scores(self: Rounding, inputs: torch.Tensor) -> torch.Tensor:
        calls.append(self.precision)
        found = self.reference_scores(inputs)
        if self.precision != "fp32":
            found[7] *= 1 + 20 * MOST_MOVED["bf16"]
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rounding, "scores", scores)
        assert agreeing_precisions(classifier, image, lambda: [near, far], [0]) == ["fp32"]
    assert calls == ["fp32", "bf16"]
