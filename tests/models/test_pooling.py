"""Pooling by matrices is torch's adaptive average pooling, gradient included."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from adasise_bench.models.surgery import MatrixAveragePool, with_repeatable_pooling


@pytest.mark.parametrize("shape", [(8, 8), (7, 9), (14, 21), (3, 5), (7, 7)])
def test_equals_torch_with_its_gradient(shape: tuple[int, int]) -> None:
    inputs = torch.randn(2, 3, *shape, generator=torch.Generator().manual_seed(1), requires_grad=True)
    ours, theirs = MatrixAveragePool((7, 7))(inputs), nn.AdaptiveAvgPool2d((7, 7))(inputs)
    torch.testing.assert_close(ours, theirs)
    weights = torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(
        *(torch.autograd.grad((pooled * weights).sum(), inputs)[0] for pooled in (ours, theirs))
    )


def test_inputs_of_the_right_size_pass_unchanged() -> None:
    inputs = torch.full((1, 2, 7, 7), torch.inf)
    assert MatrixAveragePool((7, 7))(inputs) is inputs


def test_replaces_what_has_no_repeatable_gradient_on_a_gpu() -> None:
    module = nn.Sequential(
        nn.AdaptiveAvgPool2d((7, 7)), nn.Sequential(nn.AdaptiveAvgPool2d(3)), nn.AdaptiveAvgPool2d((1, 1))
    )
    kinds = [type(child) for child in with_repeatable_pooling(module).modules()][1:]
    assert kinds == [MatrixAveragePool, nn.Sequential, MatrixAveragePool, nn.AdaptiveAvgPool2d]
