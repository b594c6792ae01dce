"""Folding batch normalisation changes a network by rounding only."""

from __future__ import annotations

import torch
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from adasise_bench.models.surgery import fold_batchnorm


def test_folded_network_is_the_same_function() -> None:
    torch.manual_seed(0)
    module = ResNet(Bottleneck, [2, 1, 1, 1], num_classes=5)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.weight, 0.2, 1.5)
            nn.init.normal_(norm.bias)
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.1, 2)
    module.eval().requires_grad_(False)
    inputs = torch.randn(3, 3, 64, 64)
    expected = module(inputs)
    folded = fold_batchnorm(module)
    assert not any(isinstance(part, nn.BatchNorm2d) for part in folded.modules())
    assert not any(parameter.requires_grad for parameter in folded.parameters())
    assert {parameter.dtype for parameter in folded.parameters()} == {torch.float32}
    torch.testing.assert_close(folded(inputs), expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


def test_a_normalisation_that_follows_something_else_stays() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    assert isinstance(fold_batchnorm(module)[2], nn.BatchNorm2d)
