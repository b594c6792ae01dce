"""Blurred pictures and their slopes equal TorchRay's perturbation under autograd."""

from __future__ import annotations

import torch
from torchray.attribution.extremal_perturbation import Perturbation

from adasise_bench.methods.extremal_perturbation.blur_pyramid import BlurPyramid


def test_equals_torchrays_perturbation(image: torch.Tensor) -> None:
    images = torch.cat([image, image.flip(3)])
    masks = torch.rand(6, 48, 40, generator=torch.Generator().manual_seed(8))
    masks[0, 0, 0], masks[0, 0, 1], masks[0, 0, 2] = 0, 1, 3 / 7
    shown, slope = BlurPyramid(images, levels=8, copies=3).at(masks)
    for number, one in enumerate(images):
        own = masks[3 * number : 3 * number + 3, None].clone().requires_grad_(True)
        expected = Perturbation(one[None], num_levels=8).apply(own)
        torch.testing.assert_close(shown[3 * number : 3 * number + 3], expected.detach(), atol=1e-4, rtol=0)
        upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(number))
        (gradient,) = torch.autograd.grad((expected * upstream).sum(), own)
        got = (slope[3 * number : 3 * number + 3] * upstream).sum(dim=1, keepdim=True)
        torch.testing.assert_close(got, gradient, atol=1e-2, rtol=1e-5)


def test_the_ends_are_most_blur_and_the_picture(image: torch.Tensor) -> None:
    pyramid = BlurPyramid(image, levels=4, copies=1)
    shown, slope = pyramid.at(torch.ones(1, 48, 40))
    torch.testing.assert_close(shown, Perturbation(image, num_levels=4).pyramid[-1:], atol=0, rtol=0)
    assert not slope.any()
    blurred, _ = pyramid.at(torch.zeros(1, 48, 40))
    assert float(blurred.std()) < 0.5 * float(image.std())


def test_masks_that_are_no_numbers_give_pictures_that_are_none(image: torch.Tensor) -> None:
    shown, _ = BlurPyramid(image, levels=4, copies=1).at(torch.full((1, 48, 40), torch.nan))
    assert shown.isnan().all()
