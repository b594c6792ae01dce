"""Masks and their gradients equal TorchRay's mask generator under autograd."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torchray.attribution.extremal_perturbation import MaskGenerator

from adasise_bench.methods.extremal_perturbation import smooth_masks
from adasise_bench.methods.extremal_perturbation.smooth_masks import AreaMasks


@pytest.fixture(autouse=True)
def _no_remembered_slices() -> Iterator[None]:
    smooth_masks._slice_values.cache_clear()
    yield
    smooth_masks._slice_values.cache_clear()


@pytest.mark.parametrize("slice_size", [1, 3000, 1 << 19])
@pytest.mark.parametrize(
    ("size", "step", "sigma"),
    [((48, 40), 7, 21.0), ((33, 50), 4, 8.0), ((30, 30), 5, 12.5), ((16, 9), 1, 2.0), ((33, 50), 4, 8.4)],
)
def test_equal_torchrays_masks_and_gradients(
    size: tuple[int, int], step: int, sigma: float, slice_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(smooth_masks, "_CPU_SLICE", slice_size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator = MaskGenerator(size, step, sigma, clamp=False)
    masks = AreaMasks(size, step, sigma, torch.device("cpu"))
    assert masks.parameters == tuple(generator.shape_in)
    assert masks.shape == tuple(generator.shape_out)
    noise = torch.Generator().manual_seed(4)
    parameters = torch.rand(3, *masks.parameters, generator=noise)
    parameters[1] = parameters[1].round()
    upstream = torch.randn(3, *masks.shape, generator=noise)

    entry = parameters[:, None].clone().requires_grad_(True)
    cropped, full = generator.generate(entry)
    (expected,) = torch.autograd.grad((full[:, 0] * upstream).sum(), entry)

    made = masks.masks(parameters)
    got = made.pixels
    torch.testing.assert_close(got, full[:, 0].detach(), atol=1e-5, rtol=0)
    torch.testing.assert_close(masks.crop(got), cropped[:, 0].detach(), atol=1e-5, rtol=0)
    gradient = masks.gradient(upstream, made)
    scale = float(expected.abs().max())
    torch.testing.assert_close(gradient, expected[:, 0], atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize(("sigma", "repeats"), [(21.0, True), (8.4, False)])
def test_the_bell_is_torchrays_weights(sigma: float, repeats: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = MaskGenerator((48, 40), 7, sigma).weight[0]
    masks = AreaMasks((48, 40), 7, sigma, torch.device("cpu"))
    bell = masks.bell.expand(-1, -1, masks.cells[0], -1, masks.cells[1], -1)
    bell = bell.flatten(4).flatten(2, 3).flatten(0, 1)[:, : masks.shape[0], : masks.shape[1]]
    torch.testing.assert_close(bell / smooth_masks.COLDNESS, expected, atol=1e-6, rtol=0)
    assert (masks.bell.shape[2] == masks.bell.shape[4] == 1) == repeats


def test_no_array_of_the_bell_is_large_with_torchrays_settings() -> None:
    masks = AreaMasks((224, 224), 7, 21.0, torch.device("cpu"))
    arrays = [value for value in vars(masks).values() if isinstance(value, torch.Tensor)]
    assert 0 < sum(array.untyped_storage().nbytes() for array in arrays) < 1e6


def test_all_explanations_of_one_size_share_their_masks() -> None:
    wanted = ((48, 40), 7, 21.0, torch.device("cpu"))
    assert smooth_masks.area_masks(*wanted) is smooth_masks.area_masks(*wanted)


def test_values_on_the_picture_are_0_in_the_frame() -> None:
    masks = AreaMasks((48, 40), 7, 21.0, torch.device("cpu"))
    picture = torch.rand(2, 48, 40)
    framed = masks.framed(picture)
    assert framed.shape == (2, *masks.shape)
    assert torch.equal(masks.crop(framed), picture)
    assert float(framed.sum()) == pytest.approx(float(picture.sum()))


@pytest.mark.parametrize(("cache", "values"), [(50 << 20, 50 << 17), (0, 32 << 17)])
def test_two_slices_fit_in_a_gpus_cache(cache: int, values: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda _device: SimpleNamespace(L2_cache_size=cache)
    )
    assert smooth_masks._slice_values(torch.device("cuda", 0)) == values
    assert 2 * 4 * values == (cache or 32 << 20)
