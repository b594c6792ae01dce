"""The controls: closed forms, other libraries, and what they may know."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from conftest import explained
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.filters import sobel

from adasise_bench import metrics
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.models.classifier import Classifier
from adasise_bench.run.scored_picture import explain_config
from adasise_bench.utils.errors import BenchError, ConfigError


def grey(image: torch.Tensor) -> np.ndarray:
    red, green, blue = image[0].double().numpy()
    return 0.299 * red + 0.587 * green + 0.114 * blue


@pytest.mark.parametrize("method", ["random", "centre", "edge", "box_oracle"])
def test_no_pass_through_the_network(method: str, tiny: Classifier, image: torch.Tensor) -> None:
    tiny.module.register_forward_pre_hook(lambda *_: pytest.fail("the network was asked"))
    found = explained(method, tiny, image, 0, inside=torch.ones(48, 40, dtype=torch.bool))
    assert (found.forwards, found.backwards) == (0, 0)
    assert parse_method(method).expected_forwards((3, 4)) == 0


def test_random_follows_the_seed_alone(tiny: Classifier, image: torch.Tensor) -> None:
    first = explained("random", tiny, image, 0, seed=2**63 - 1).saliency
    torch.rand(5)
    assert torch.equal(first, explained("random", tiny, image * 2, 1, seed=2**63 - 1).saliency)
    assert not torch.equal(first, explained("random", tiny, image, 0, seed=1).saliency)


def test_random_is_uniform(tiny: Classifier) -> None:
    noise = explained("random", tiny, torch.zeros(1, 3, 200, 200), 0, seed=3).saliency
    shares = torch.histc(noise, 10, 0, 1) / noise.numel()
    torch.testing.assert_close(shares, torch.full((10,), 0.1), rtol=0, atol=0.01)
    neighbours = np.corrcoef(noise[:, 1:].flatten(), noise[:, :-1].flatten())[0, 1]
    assert abs(neighbours) < 0.02


def test_centre_is_a_gaussian_of_a_quarter_of_the_side(tiny: Classifier) -> None:
    found = explained("centre", tiny, torch.zeros(1, 3, 5, 8), 0).saliency
    for row, column in ((0, 0), (2, 3), (4, 7), (1, 6)):
        y, x = (row + 0.5) / 5 - 0.5, (column + 0.5) / 8 - 0.5
        assert math.isclose(found[row, column], math.exp(-(y * y + x * x) / (2 * 0.25**2)), rel_tol=1e-6)
    assert float(found[2].max()) == float(found.max())


@given(height=st.integers(32, 90), width=st.integers(32, 90), sigma=st.floats(0.01, 10))
@settings(max_examples=30, deadline=None)
def test_centre_is_symmetric_and_never_all_zero(height: int, width: int, sigma: float) -> None:
    request = torch.zeros(1, 3, height, width)
    method = parse_method({"name": "centre", "sigma": sigma})
    found = explained(method, _no_network(), request, 0).saliency
    torch.testing.assert_close(found, found.flip(0, 1), rtol=1e-3, atol=1e-6)
    assert 0 < float(found.max()) <= 1


def test_edge_equals_scipy_and_scikit_image(tiny: Classifier, image: torch.Tensor) -> None:
    found = explained("edge", tiny, image, 0).saliency.numpy()
    across, down = (ndimage.sobel(grey(image), axis=axis, mode="nearest") for axis in (1, 0))
    np.testing.assert_allclose(found, np.hypot(across, down), rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(
        found, sobel(grey(image), mode="nearest") * 4 * math.sqrt(2), rtol=1e-4, atol=1e-3
    )


def test_edge_of_a_step_is_four_times_its_height(tiny: Classifier) -> None:
    image = torch.zeros(1, 3, 6, 8)
    image[..., 4:] = 10
    found = explained("edge", tiny, image, 0).saliency
    expected = torch.zeros(6, 8)
    expected[:, 3:5] = 40
    torch.testing.assert_close(found, expected)


@given(colour=st.tuples(*[st.floats(-130, 130)] * 3))
@settings(max_examples=20, deadline=None)
def test_edge_of_one_colour_is_exactly_zero(colour: tuple[float, float, float]) -> None:
    image = torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, 33, 35)
    assert not explained("edge", _no_network(), image, 0).saliency.any()


@given(seed=st.integers(0, 999), share=st.floats(0.01, 0.99))
@settings(max_examples=30, deadline=None)
def test_no_map_beats_the_oracle(seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    inside = torch.rand(12, 10, generator=generator) < share
    inside[0, 0] = True
    oracle = explained("box_oracle", _no_network(), torch.zeros(1, 3, 12, 10), 0, inside=inside).saliency
    other = torch.rand(12, 10, generator=generator)
    assert torch.equal(oracle, inside.float())
    assert metrics.ebpg(oracle, inside) == metrics.bbox(oracle, inside) == 100
    assert metrics.ebpg(other, inside) <= 100
    assert metrics.bbox(other, inside) <= 100


def test_the_oracle_is_refused_where_no_boxes_are_known(tiny: Classifier, image: torch.Tensor) -> None:
    with pytest.raises(BenchError, match="box_oracle: needs the class's boxes"):
        explained("box_oracle", tiny, image, 0)
    with pytest.raises(ConfigError, match="--methods: box_oracle needs the class's boxes"):
        explain_config("scenes_vgg", ["gradient", "box_oracle"])
    assert [name for name in METHODS if METHODS[name].load().needs_region] == ["box_oracle"]


@pytest.mark.parametrize("sigma", [0, 0.001, 11, "wide"])
def test_bad_options_are_refused(sigma: object) -> None:
    with pytest.raises(ValueError, match="sigma"):
        parse_method({"name": "centre", "sigma": sigma})


def _no_network() -> Classifier:
    """Controls do not look at it."""
    from conftest import TinyVGG, make_classifier

    return make_classifier(TinyVGG(), (), tuple("abcd"))
