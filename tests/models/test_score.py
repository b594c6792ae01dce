"""The score Ψ and its log-odds, against closed forms and float64."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import reference
import torch
from conftest import explained
from torch import nn

from adasise_bench.models.classifier import Classifier
from adasise_bench.models.score import monotone_psi, psi

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 30.0, -50.0]], dtype=torch.float64)


def test_probabilities_are_taken_as_they_are() -> None:
    given = LOGITS.softmax(1)
    assert torch.equal(psi(given, "probability"), given.float())
    assert psi(given.half(), "probability").dtype == torch.float32


def test_log_odds_of_probabilities_have_the_digits_of_the_raw_outputs() -> None:
    """Row 2 rounds to 1 in float32; the exact log-odds are 30 all the same."""
    exact = LOGITS.softmax(1)
    expected = (
        exact.log()
        - torch.stack([exact[:, [j for j in range(3) if j != c]].sum(1) for c in range(3)], dim=1).log()
    )
    got = monotone_psi(LOGITS.float().softmax(1), "probability", add_up=True)
    torch.testing.assert_close(got.double(), expected, atol=1e-4, rtol=1e-5)
    assert abs(float(got[1, 1]) - 30) < 1e-3
    single = monotone_psi(LOGITS.float()[:1].sigmoid(), "probability")
    torch.testing.assert_close(single.double(), LOGITS[:1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_gradients_behind_the_last_step_are_those_of_the_raw_outputs(end: str) -> None:
    logits = LOGITS[:1].float().requires_grad_()
    outputs = logits.softmax(1) if end == "softmax" else logits.sigmoid()
    for c in range(3):
        inside = monotone_psi(outputs, "probability", add_up=end == "softmax")[0, c]
        (got,) = torch.autograd.grad(inside, logits, retain_graph=True)
        (expected,) = torch.autograd.grad(monotone_psi(logits, end)[0, c], logits)  # type: ignore[arg-type]
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_no_output_gives_a_gradient_that_is_not_finite() -> None:
    for add_up in (False, True):
        logits = torch.tensor([[300.0, -300.0, 0.0]], requires_grad=True)
        outputs = logits.softmax(1) if add_up else logits.sigmoid()
        for objective in monotone_psi(outputs, "probability", add_up=add_up)[0]:
            (gradient,) = torch.autograd.grad(objective, logits, retain_graph=True)
            assert objective.isfinite()
            assert gradient.isfinite().all()


class Ending(nn.Module):
    """The tests' network with a softmax behind it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.network(inputs).softmax(1)
        return outputs


def test_a_confident_network_with_a_softmax_inside_selects_as_in_double_precision(
    tiny: Classifier, image: torch.Tensor
) -> None:
    confident = copy.deepcopy(tiny)
    confident.module.head.weight.mul_(1200)
    target = int(confident.outputs(image)[0].argmax())
    expected = reference.gradients(confident, image, target)
    inside = replace(
        confident,
        module=Ending(confident.module),
        blocks=tuple(f"network.{block}" for block in confident.blocks),
        score="probability",
        outputs_add_up=True,
    )
    assert float(inside.scores(image)[0, target]) == 1
    for block, exact in zip(inside.block_maps(image, [target]), expected, strict=True):
        ratio = block.gradients[0] / block.gradients.abs().max()
        torch.testing.assert_close(ratio, exact / exact.abs().max(), atol=1e-5, rtol=0)


def test_information_bottleneck_takes_the_logarithm_of_a_probability(
    tiny: Classifier, image: torch.Tensor
) -> None:
    entry = {
        "name": "information_bottleneck",
        "iterations": 3,
        "samples": 2,
        "pictures": 4,
        "layer": "features.3",
    }
    inside = replace(
        tiny,
        module=Ending(tiny.module),
        blocks=tuple(f"network.{block}" for block in tiny.blocks),
        score="probability",
        outputs_add_up=True,
    )
    expected = explained(entry, tiny, image, 2).saliency
    got = explained(entry | {"layer": "network.features.3"}, inside, image, 2).saliency
    torch.testing.assert_close(got, expected, atol=1e-4 * float(expected.max()), rtol=0)
