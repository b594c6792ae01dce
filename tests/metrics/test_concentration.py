"""Sparseness and complexity: in closed form, by plain loops and against Quantus."""

from __future__ import annotations

import math

import numpy as np
import pytest
import quantus
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.metrics.complexity import complexity
from adasise_bench.metrics.pixels import pixel_order
from adasise_bench.metrics.sparseness import sparseness


def gini(saliency: torch.Tensor) -> float | None:
    return sparseness(saliency, pixel_order(saliency))


def some_map(seed: int, shape: tuple[int, int] = (9, 7)) -> torch.Tensor:
    """A map with ties and zeros."""
    drawn = torch.randint(0, 40, shape, generator=torch.Generator().manual_seed(seed)) - 10
    return drawn.clamp(min=0).float() / 7


def test_one_pixel_and_equal_pixels_are_the_ends() -> None:
    single = torch.zeros(5, 4)
    single[2, 1] = 0.3
    assert gini(single) == pytest.approx(95.0)
    assert complexity(single) == 0
    assert gini(torch.full((5, 4), 0.3)) == pytest.approx(0.0, abs=1e-12)
    assert complexity(torch.full((5, 4), 0.3)) == pytest.approx(math.log(20))


def test_a_map_without_energy_has_neither() -> None:
    assert gini(torch.zeros(3, 4)) is None
    assert complexity(torch.zeros(3, 4)) is None


@pytest.mark.parametrize("seed", range(3))
def test_sparseness_is_half_the_mean_difference_over_the_mean(seed: int) -> None:
    """The other definition of Gini's index: Σ_ij |v_i - v_j| / (2 n² mean)."""
    values = some_map(seed).flatten().double().numpy()
    expected = np.abs(values[:, None] - values[None]).mean() / (2 * values.mean())
    assert gini(some_map(seed)) == pytest.approx(100 * expected)


@pytest.mark.parametrize("seed", range(3))
def test_complexity_equals_a_plain_loop(seed: int) -> None:
    values = [value for value in some_map(seed).flatten().tolist() if value > 0]
    expected = -sum(value / sum(values) * math.log(value / sum(values)) for value in values)
    assert complexity(some_map(seed)) == pytest.approx(expected)


@pytest.mark.parametrize("metric", ["sparseness", "complexity"])
def test_both_equal_quantus(metric: str) -> None:
    """Quantus adds 1e-7 to values and 1e-12 to logarithms."""
    maps = torch.stack([some_map(seed) for seed in range(4)]).double().numpy()[:, None]
    peer = {"sparseness": quantus.Sparseness, "complexity": quantus.Complexity}[metric]
    expected = peer(normalise=False, disable_warnings=True)(
        model=torch.nn.Identity(),
        x_batch=np.zeros((4, 3, 9, 7)),
        y_batch=np.zeros(4, int),
        a_batch=maps.copy(),
    )
    for seed, value in enumerate(expected):
        if metric == "sparseness":
            assert gini(some_map(seed)) == pytest.approx(100 * value, abs=1e-4)
        else:
            assert complexity(some_map(seed)) == pytest.approx(value, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    # Not so small that a product with the factor would lose digits.
    values=st.lists(st.one_of(st.just(0.0), st.floats(2**-20, 1, width=32)), min_size=12, max_size=12).filter(
        any
    ),
    factor=st.sampled_from([0.25, 2.0, 64.0]),
)
def test_neither_depends_on_scale_or_place(values: list[float], factor: float) -> None:
    saliency = torch.tensor(values).view(3, 4)
    for other in (saliency * factor, saliency.flip(0), saliency.T):
        for metric in (gini, complexity):
            assert metric(other) == pytest.approx(metric(saliency), rel=1e-6, abs=1e-6)
    sparse, spread = gini(saliency), complexity(saliency)
    assert sparse is not None
    assert spread is not None
    assert -1e-9 <= sparse <= 100
    assert -1e-12 <= spread <= math.log(12) + 1e-9
