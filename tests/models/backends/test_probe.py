"""What the probe takes for torch's outputs, and what not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from adasise_bench.data.transforms import CAFFE, Preprocessing
from adasise_bench.models.backends.probe import DeviationError, Probe, masked_noise

BATCH = torch.zeros(4, 3, 16, 16)
OUTPUTS = torch.tensor([[1.0, -2.0, 0.5], [0.0, 3.0, 8.0], [2.0, 2.0, -9.0], [0.1, 0.2, 0.3]])
SATURATED = torch.tensor([[60.0, 0.0, -40.0], [0.0, 70.0, 0.0], [-80.0, 0.0, 30.0], [0.0, 0.0, 50.0]])


def refuse(
    expected: torch.Tensor,
    found: torch.Tensor,
    score: Any = "softmax",
    rounded: torch.Tensor | None = None,
) -> None:
    by_torch = None if rounded is None else lambda _inputs: rounded
    Probe(CAFFE, score).refuse(lambda _inputs: found, lambda _inputs: expected, BATCH, by_torch)


@pytest.mark.parametrize("score", ["softmax", "logit"])
def test_rounding_passes(score: Any) -> None:
    refuse(OUTPUTS, OUTPUTS * (1 + 5e-7), score)
    refuse(OUTPUTS, OUTPUTS + 8e-5, score)  # of 9: within 1e-5 of the largest


def test_scores_that_agree_pass() -> None:
    """A constant beside all outputs, as far as it is small, changes no softmax, but a raw output."""
    shifted = OUTPUTS + 1e-3
    refuse(OUTPUTS, shifted, "softmax")
    for score in ("logit", "sigmoid"):
        with pytest.raises(DeviationError, match=r"by 0\.0001 of the largest"):
            refuse(OUTPUTS, shifted, score)


@pytest.mark.parametrize("score", ["softmax", "logit"])
def test_in_a_coarse_precision_torchs_own_rounding_is_the_measure(score: Any) -> None:
    rounded = OUTPUTS + torch.tensor([0.02, -0.03, 0.01])
    refuse(OUTPUTS, OUTPUTS - 2 * (rounded - OUTPUTS), score, rounded)
    for found in (OUTPUTS - 5 * (rounded - OUTPUTS), OUTPUTS.flip(1), OUTPUTS * float("nan")):
        with pytest.raises(DeviationError):
            refuse(OUTPUTS, found, score, rounded)
    with pytest.raises(DeviationError):
        refuse(OUTPUTS, rounded, score)


@pytest.mark.parametrize("row", range(4))
def test_one_wrong_output_is_enough(row: int) -> None:
    wrong = OUTPUTS.clone()
    wrong[row, 1] += 2e-3
    with pytest.raises(DeviationError):
        refuse(OUTPUTS, wrong)


def test_a_saturated_score_hides_nothing() -> None:
    """Softmax of these stays 0 or 1 within 1e-5, though half of what is added is wrong."""
    assert torch.allclose(SATURATED.softmax(1), (SATURATED * 0.9).softmax(1), atol=1e-5)
    with pytest.raises(DeviationError):
        refuse(SATURATED, SATURATED * 0.9)


@pytest.mark.parametrize(
    "found",
    [
        OUTPUTS * float("nan"),
        torch.zeros(4, 3),
        OUTPUTS[:, :2],
        OUTPUTS[:3],
        OUTPUTS.flip(0),
        OUTPUTS.flip(1),
    ],
)
def test_what_is_something_else_is_refused(found: torch.Tensor) -> None:
    with pytest.raises(DeviationError):
        refuse(OUTPUTS, found)


def test_outputs_of_zero_are_held_against_zero() -> None:
    refuse(torch.zeros(4, 3), torch.zeros(4, 3))
    with pytest.raises(DeviationError):
        refuse(torch.zeros(4, 3), torch.full((4, 3), 0.01), "logit")


def test_positions_are_averaged() -> None:
    maps = OUTPUTS[:, :, None, None].expand(-1, -1, 2, 2)
    refuse(maps, maps * (1 + 1e-7))


@pytest.mark.parametrize(
    "preprocessing", [CAFFE, Preprocessing(1, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
)
def test_the_probes_are_different_masked_pictures(preprocessing: Preprocessing) -> None:
    probes = masked_noise(torch.Size([8, 3, 64, 48]), preprocessing)
    assert probes.shape == (8, 3, 64, 48)
    assert not probes[-1].any()
    assert torch.equal(probes, masked_noise(probes.shape, preprocessing))
    assert len({tuple(probe.flatten().tolist()) for probe in probes}) == 8
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    white, black = ((preprocessing.scale - mean) / std).max(), (-mean / std).min()
    assert float(black) <= float(probes.min()) < 0 < float(probes.max()) <= float(white)
    assert masked_noise(torch.Size([1, 3, 64, 48]), preprocessing).any()
