"""Otsu's threshold against scikit-image, and the fusion in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from adasise_bench.methods.sise.fusion import fuse, min_max, otsu_thresholds


@given(st.integers(0, 10_000), st.sampled_from(["uniform", "normal", "two", "few"]))
def test_otsu_equals_scikit_image(seed: int, kind: str) -> None:
    random = np.random.default_rng(seed)
    values = {
        "uniform": random.random((13, 17)),
        "normal": random.normal(size=(13, 17)),
        "two": np.concatenate([random.normal(0, 1, 90), random.normal(8, 1, 60)]),
        "few": random.integers(0, 5, 40).astype(float),
    }[kind]
    values = (values - values.min()) / (values.max() - values.min())
    [found] = otsu_thresholds(torch.from_numpy(values)[None])
    assert float(found) == pytest.approx(threshold_otsu(values), abs=1e-12)


def test_otsu_of_a_constant_is_the_constant() -> None:
    assert otsu_thresholds(torch.full((2, 4, 4), 0.25)).tolist() == [0.25, 0.25]


def test_otsu_of_several_layers_is_that_of_each() -> None:
    layers = torch.rand(4, 9, 7, generator=torch.Generator().manual_seed(2)) ** 3
    layers[2] = 0.5
    found = otsu_thresholds(layers)
    assert found.tolist() == [float(otsu_thresholds(layer[None])) for layer in layers]
    assert otsu_thresholds(layers[:0]).tolist() == []


def test_otsus_thresholds_are_bin_centres_in_double_precision() -> None:
    """Two values far apart: the first bin wins, whose centre is low + span / 512."""
    low, span = 0.1, 0.7
    values = torch.tensor([[low, low, low + span]], dtype=torch.float64)
    assert otsu_thresholds(values).item() == pytest.approx(low + span / 512, abs=1e-15)


def test_fusion_in_closed_form() -> None:
    first = torch.tensor([[0.0, 1.0, 0.5, 0.25]])
    second = torch.tensor([[0.0, 0.0, 1.0, 0.9]])
    assert torch.allclose(fuse([first, second]), torch.tensor([[0.0, 0.0, 1.0, 1.15 / 1.5]]))


def test_soft_fusion_in_closed_form() -> None:
    first = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    second = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
    limit = threshold_otsu(second.numpy())
    low, high = 0.0, 2 / (1 + np.exp(-100 * (1 - limit)))
    assert fuse([first, second], "soft").tolist() == [[low, high / high]]


def test_a_block_without_masks_silences_the_map() -> None:
    assert not fuse(
        [
            torch.rand(3, 3),
            torch.zeros(3, 3),
        ]
    ).any()


def test_min_max_of_a_constant_is_zero() -> None:
    assert not min_max(torch.full((2, 3, 3), 7.0)).any()
