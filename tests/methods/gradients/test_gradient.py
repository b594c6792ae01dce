"""The gradient against finite differences and TorchRay."""

from __future__ import annotations

from dataclasses import replace

import torch
from conftest import explained
from torchray.attribution.gradient import gradient as torchray_gradient

from adasise_bench.methods.gradients.input_gradients import input_gradients
from adasise_bench.models.classifier import Classifier


def test_equals_torchray(tiny: Classifier, resnet_layout: Classifier, image: torch.Tensor) -> None:
    for classifier, target in ((tiny, 1), (resnet_layout, 17)):
        expected = torchray_gradient(classifier.module, image.clone(), target)[0, 0]
        found = explained("gradient", classifier, image, target)
        torch.testing.assert_close(found.saliency, expected, rtol=1e-5, atol=float(expected.max()) * 1e-6)
        assert (found.forwards, found.backwards) == (1, 1)


def test_is_the_slope_of_the_raw_output(tiny: Classifier, image: torch.Tensor) -> None:
    double = replace(tiny, module=tiny.module.double())
    found = input_gradients(double, image.double(), 2)[0]
    for channel, row, column in ((0, 0, 0), (1, 20, 31), (2, 47, 39)):
        step = torch.zeros_like(image, dtype=torch.float64)
        step[0, channel, row, column] = 1e-4
        up, down = (double.outputs(image.double() + sign * step)[0, 2] for sign in (1, -1))
        torch.testing.assert_close(found[channel, row, column], (up - down) / 2e-4, rtol=1e-6, atol=1e-12)


def test_is_of_the_raw_output_whatever_the_score(tiny: Classifier, image: torch.Tensor) -> None:
    maps = [
        explained("gradient", replace(tiny, score=score, precision=precision), image, 0).saliency
        for score, precision in (("softmax", "fp32"), ("logit", "bf16"))
    ]
    assert torch.equal(*maps)


def test_averages_the_positions_of_a_convolutional_output(image: torch.Tensor, tiny: Classifier) -> None:
    class Positions(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    found = input_gradients(replace(tiny, module=Positions()), image, 1)
    expected = torch.zeros_like(image)
    expected[:, 1] = 1 / (48 * 40)
    torch.testing.assert_close(found, expected)
