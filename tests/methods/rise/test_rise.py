"""RISE and its masks against plain loops, the authors' recipe, TorchRay and closed forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import explained, make_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import resize
from torch import nn
from torchray.attribution.rise import rise

from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.rise.random_masks import RandomMasks
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.step_watch import watched
from adasise_bench.utils.timing import PhaseClock

CPU = torch.device("cpu")


class Linear(nn.Module):
    """Raw outputs that are weighted sums of the picture's first channel."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("nhw,chw->nc", x[:, 0], self.weights)


def test_masks_are_enlarged_and_cropped_as_in_the_authors_code() -> None:
    """Their line: resize(grid, (s + 1) * cell, order=1, mode='reflect', anti_aliasing=False), cropped."""
    masks = RandomMasks(20, 7, 0.5, (48, 40), 3, CPU)
    for mask, grid, y, x in zip(masks.built(0, 20), masks._grids, masks._y, masks._x, strict=True):
        enlarged = resize(grid.numpy(), (8 * 7, 8 * 6), order=1, mode="reflect", anti_aliasing=False)
        np.testing.assert_allclose(mask.numpy(), enlarged[y : y + 48, x : x + 40], atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    cells=st.integers(2, 9),
    p=st.floats(0.05, 0.95),
    seed=st.integers(0, 2**62),
    batch=st.integers(1, 13),
)
def test_masks_of_any_shape(size: tuple[int, int], cells: int, p: float, seed: int, batch: int) -> None:
    masks = RandomMasks(12, cells, p, size, seed, CPU)
    built = masks.built(0, 12)
    assert built.shape == (12, *size)
    assert 0 <= float(built.min()) <= float(built.max()) <= 1 + 1e-6
    parts = torch.cat([masks.built(start, start + batch) for start in range(0, 12, batch)])
    torch.testing.assert_close(parts, built, atol=1e-6, rtol=0)
    assert torch.equal(RandomMasks(12, cells, p, size, seed, CPU).built(0, 12), built)
    weights = torch.rand(12, generator=torch.Generator().manual_seed(1))
    expected = (weights.double()[:, None, None] * built.double()).sum(dim=0)
    torch.testing.assert_close(masks.weighted_sum(weights), expected, atol=1e-5, rtol=0)


def test_offsets_and_cells_are_drawn_evenly() -> None:
    masks = RandomMasks(20000, 4, 0.3, (18, 10), 0, CPU)
    for offsets, cell in ((masks._y, 5), (masks._x, 3)):
        shares = torch.bincount(offsets, minlength=cell).double() / len(offsets)
        assert len(shares) == cell
        assert float((shares - 1 / cell).abs().max()) < 0.015
    assert float((masks._grids.mean(dim=0) - 0.3).abs().max()) < 0.015


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_equals_a_plain_loop(tiny: Classifier, image: torch.Tensor, batch_size: int) -> None:
    masks = RandomMasks(50, 5, 0.4, (48, 40), 9, CPU).built(0, 50)
    total = torch.zeros(48, 40, dtype=torch.float64)
    for mask in masks:
        total += tiny.module(image * mask).softmax(1)[0, 2].double() * mask.double()
    got = explained(
        {"name": "rise", "masks": 50, "cells": 5, "p": 0.4, "seed": 9},
        replace(tiny, batch_size=BatchSize(batch_size)),
        image,
        2,
    )
    torch.testing.assert_close(got.saliency, (total / (50 * 0.4)).float(), atol=1e-6, rtol=0)
    assert (got.forwards, got.backwards) == (50, 0)


def test_equals_torchrays_function_on_the_same_masks(tiny: Classifier, image: torch.Tensor) -> None:
    """TorchRay's scores are sigmoids and its sum is not divided by p."""
    masks = RandomMasks(40, 7, 0.5, (48, 40), 0, CPU).built(0, 40)
    expected = rise(tiny.module, image, num_masks=40, filter_masks=masks[:, None], batch_size=16)
    sigmoid = replace(tiny, score="sigmoid")
    for target in range(4):
        got = explained({"name": "rise", "masks": 40}, sigmoid, image, target)
        torch.testing.assert_close(got.saliency, expected[0, target] / 0.5, atol=1e-6, rtol=0)


def test_a_linear_network_gets_its_expected_map() -> None:
    """E[Ψ(I⊙m) m] / p = p·Σv + (1 - p)·E[Σ_c w_c(λ) Σ_μ w_c(μ) v(μ)], w_c being cell c's share of a pixel."""
    height, width, cells, p = 12, 9, 3, 0.4
    region = torch.zeros(1, height, width)
    region[0, 2:6, 1:5] = 1 / 16
    classifier = make_classifier(Linear(region), (), ("a",), score="logit")
    step = [-(-side // cells) for side in (height, width)]
    shares = []
    for side, cell in ((height, step[0]), (width, step[1])):
        places = (np.arange((cells + 1) * cell) + 0.5) * cells / ((cells + 1) * cell) - 0.5
        places = np.where(places < 0, -places, places)
        places = np.where(places > cells - 1, 2 * (cells - 1) - places, places)
        shares.append([np.interp(places, range(cells), row) for row in np.eye(cells)])
        shares[-1] = [np.array([row[s : s + side] for row in shares[-1]]) for s in range(cell)]
    value = region[0].numpy()
    kernel = np.zeros((height, width))
    for rows in shares[0]:
        for columns in shares[1]:
            kernel += np.einsum("ih,jw,ik,jl,kl->hw", rows, columns, rows, columns, value)
    expected = p * value.sum() + (1 - p) * kernel / (step[0] * step[1])
    got = explained(
        {"name": "rise", "masks": 40000, "cells": cells, "p": p},
        replace(classifier, batch_size=BatchSize(2000)),
        torch.ones(1, 3, height, width),
        0,
    )
    np.testing.assert_allclose(got.saliency.numpy(), expected, atol=0.012)
    assert expected.max() - expected.min() > 0.19


def test_classes_together_get_what_they_get_alone(tiny: Classifier, image: torch.Tensor) -> None:
    method = parse_method({"name": "rise", "masks": 37})
    alone = [method.explain(tiny, Request(method, image, target), PhaseClock(CPU)) for target in range(4)]
    passed: list[int] = []
    tiny.module.register_forward_pre_hook(lambda _module, inputs: passed.append(len(inputs[0])))
    requests = [Request(method, image, target, seed=target) for target in range(4)]
    together = method.explain_together(tiny, requests)
    assert passed == [16, 16, 16]
    for one, other in zip(alone, together, strict=True):
        assert torch.equal(one.saliency, other.saliency)
    assert not torch.equal(alone[0].saliency, alone[1].saliency)


def test_the_seed_alone_decides_the_masks(tiny: Classifier, image: torch.Tensor) -> None:
    before = torch.get_rng_state()
    entry = {"name": "rise", "masks": 30}
    first, again, other = (
        explained(entry | changes, tiny, image, 1, seed=seed).saliency
        for changes, seed in (({}, 0), ({}, 5), ({"seed": 1}, 0))
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_goes_on_where_memory_ran_out(tiny: Classifier, image: torch.Tensor) -> None:
    entry = {"name": "rise", "masks": 30}
    expected = explained(entry, replace(tiny, batch_size=BatchSize(8)), image, 1).saliency

    def short_of_memory(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 3:
            raise torch.OutOfMemoryError("planted")

    tiny.module.register_forward_pre_hook(short_of_memory)
    got = explained(entry, replace(tiny, batch_size=BatchSize(8)), image, 1)
    torch.testing.assert_close(got.saliency, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize(("network", "count"), [("vgg16", 4000), ("resnet50", 8000), ("other", 8000)])
def test_the_network_decides_how_many_masks(network: str, count: int) -> None:
    scored: list[tuple[int, int]] = []
    classifier = make_classifier(
        Linear(torch.ones(2, 4, 4)), (), ("a", "b"), name=network, batch_size=BatchSize(1000),
    )  # fmt: skip
    with watched(lambda done, total: scored.append((done, total))):
        got = explained("rise", classifier, torch.ones(1, 3, 4, 4), 0)
    assert got.forwards == count
    assert scored[-1] == (count, count)
    method = parse_method("rise")
    maps = ARCHITECTURES[network].maps if network in ARCHITECTURES else (1, 2)
    assert method.on_network(network).expected_forwards(maps) == count
    assert method.on_network(network).scored_inputs(maps) == range(count, count + 1)
    given = parse_method({"name": "rise", "masks": 17})
    assert given.on_network(network).expected_forwards(maps) == given.expected_forwards(maps) == 17


def test_a_network_with_the_feature_maps_of_another_is_not_taken_for_it() -> None:
    maps = ARCHITECTURES["vgg16"].maps
    assert parse_method("rise").on_network("mine").expected_forwards(maps) == 8000


def test_raw_outputs_below_zero_leave_no_energy() -> None:
    classifier = make_classifier(Linear(-torch.ones(1, 9, 9)), (), ("a",), score="logit")
    got = explained({"name": "rise", "masks": 20}, classifier, torch.ones(1, 3, 9, 9), 0)
    assert got.saliency.dtype == torch.float32
    assert not got.saliency.any()


def test_scores_that_are_not_finite_are_an_error(tiny: Classifier, image: torch.Tensor) -> None:
    torch.nn.init.constant_(tiny.module.get_submodule("head").weight, float("nan"))
    with pytest.raises(BenchError, match="not finite"):
        explained({"name": "rise", "masks": 5}, tiny, image, 0)


def test_its_phases_are_timed(tiny: Classifier, image: torch.Tensor) -> None:
    method, clock = parse_method({"name": "rise", "masks": 5}), PhaseClock(CPU)
    method.explain(tiny, Request(method, image, 0), clock)
    assert list(clock.phases) == ["scoring", "fusion"]
