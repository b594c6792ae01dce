"""Masks and their gradients equal TorchRay's mask generator under autograd."""

from __future__ import annotations

import warnings

import pytest
import torch
from torchray.attribution.extremal_perturbation import MaskGenerator

from adasise_bench.methods import area_masks
from adasise_bench.methods.area_masks import AreaMasks


@pytest.mark.parametrize("slice_size", [1, 3000, 1 << 19])
@pytest.mark.parametrize(
    ("size", "step", "sigma"),
    [((48, 40), 7, 21.0), ((33, 50), 4, 8.0), ((30, 30), 5, 12.5), ((16, 9), 1, 2.0)],
)
def test_equal_torchrays_masks_and_gradients(
    size: tuple[int, int], step: int, sigma: float, slice_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(area_masks._SLICE, "cpu", slice_size)
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
