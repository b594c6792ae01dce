"""Thresholds against loops over the printed formulas, hand-worked cases and invariants."""

from __future__ import annotations

import numpy as np
import pytest
import reference
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from adasise_bench.methods.sise.selectors import normalized, otsu_criterion, printed_criterion, threshold

gradients = st.lists(st.floats(-5, 5).map(lambda x: round(x, 6)), min_size=1, max_size=60)


def test_printed_criterion_worked_by_hand() -> None:
    """n = 5, Υ = 1..5; i = 1: ω_L = 5·1, ω_H = 5·15/4, (3/5)²; i = 2: 5·1.5, 5·14/3, (1/5)²."""
    tau = printed_criterion(torch.arange(1, 6, dtype=torch.float64))
    assert tau.tolist() == pytest.approx([5 * 18.75 * 0.36, 7.5 * (70 / 3) * 0.04])


def test_otsu_criterion_worked_by_hand() -> None:
    """Υ = 0, 0, 4: i = 1: (1/3)(2/3)·2²; i = 2: (2/3)(1/3)·4²."""
    criterion = otsu_criterion(torch.tensor([0.0, 0.0, 4.0], dtype=torch.float64))
    assert criterion.tolist() == pytest.approx([8 / 9, 32 / 9])


def test_otsu_splits_two_clusters() -> None:
    values = torch.tensor([0.1, 0.12, 0.11, 0.9, 1.0, 0.95], dtype=torch.float64)
    mu = threshold(values, "otsu")
    assert (values > mu).tolist() == [False, False, False, True, True, True]
    assert (values > float(threshold_otsu(values.numpy(), nbins=4096))).tolist() == (values > mu).tolist()


def test_log_otsu_splits_by_ratios() -> None:
    """Between 0.01 and 0.2 lies the largest ratio; Otsu on the values splits at the largest difference."""
    values = torch.tensor([0.005, 0.01, 0.2, 0.25, 1.0, -0.7], dtype=torch.float64)
    assert threshold(values, "log-otsu") == 0.01
    assert threshold(values, "otsu") == 0.25


@pytest.mark.parametrize("seed", range(10))
def test_log_otsu_separates_as_well_as_scikit_images_histogram(seed: int) -> None:
    """Every threshold of a histogram is a split that the exact one has tried, too."""
    values = np.random.default_rng(seed).lognormal(0, 2, 50 + 20 * seed)
    logarithms = np.log(values / values.max())

    def between_classes(limit: float) -> float:
        low, high = logarithms[logarithms <= limit], logarithms[logarithms > limit]
        return float(len(low) * len(high) * (low.mean() - high.mean()) ** 2)

    mu = threshold(normalized(torch.from_numpy(values)), "log-otsu")
    limit = float(threshold_otsu(logarithms, nbins=4096))
    assert between_classes(np.log(mu)) >= between_classes(limit) * (1 - 1e-12)
    assert np.log(mu) == pytest.approx(limit, abs=1.0)


def test_one_or_two_positives_are_all_kept() -> None:
    for positives in ([0.3], [0.3, 1.0]):
        values = torch.tensor([-0.5, 0.0, *positives], dtype=torch.float64)
        for selector in ("printed", "otsu", "log-otsu"):
            assert int((values > threshold(values, selector)).sum()) == len(positives)  # type: ignore[arg-type]


def test_three_positives_lose_one() -> None:
    values = torch.tensor([0.2, 0.5, 1.0], dtype=torch.float64)
    assert threshold(values, "printed") == 0.2


def test_nothing_positive_normalises_to_nothing() -> None:
    assert normalized(torch.tensor([-3.0, 0.0], dtype=torch.float64)).tolist() == [0, 0]


@given(gradients, st.sampled_from(["fixed", "printed", "otsu", "log-otsu"]), st.floats(0, 0.9))
def test_equals_the_loops(values: list[float], selector: str, mu: float) -> None:
    v = normalized(torch.tensor(values, dtype=torch.float64))
    expected = reference.select(v.tolist(), selector, mu)
    got = (v > threshold(v, selector, mu)).tolist()  # type: ignore[arg-type]
    assert got == expected or selector != "fixed"
    if selector != "fixed" and got != expected:
        # Equal criteria may be told apart by rounding; then both thresholds must be optimal.
        ascending = v[v > 0].sort().values
        tau = {
            "printed": printed_criterion,
            "otsu": otsu_criterion,
            "log-otsu": lambda positive: otsu_criterion(positive.log()),
        }[selector](ascending)
        chosen = ascending[: len(tau)] == threshold(v, selector)  # type: ignore[arg-type]
        assert float(tau[chosen].max()) >= float(tau.max()) * (1 - 1e-9)


@given(gradients, st.sampled_from(["printed", "otsu", "log-otsu"]), st.randoms(use_true_random=False))
def test_kept_set_ignores_channel_order_and_lies_inside_sise(
    values: list[float], selector: str, random: object
) -> None:
    v = normalized(torch.tensor(values, dtype=torch.float64))
    kept = v > threshold(v, selector)  # type: ignore[arg-type]
    assert not (kept & ~(v > 0)).any()
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert torch.equal(v[order] > threshold(v[order], selector), kept[order])  # type: ignore[arg-type]
    if (v > 0).any():
        assert kept.any()
