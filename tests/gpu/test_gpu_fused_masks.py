"""Masks by compiled kernels on a GPU; the acceptance leaves this out, where compiling takes too long."""

from __future__ import annotations

import pytest
import torch

from adasise_bench.methods.extremal_perturbation.fused_masks import FusedMasks, fused_where_possible
from adasise_bench.methods.extremal_perturbation.smooth_masks import AreaMasks

pytestmark = pytest.mark.gpu


def test_compiled_masks_are_the_plain_ones(cuda: torch.device) -> None:
    plain = AreaMasks((40, 48), 4, 8.0, cuda)
    fused = fused_where_possible(plain, 6)
    assert isinstance(fused, FusedMasks)
    parameters = torch.rand(6, *plain.parameters, generator=torch.Generator().manual_seed(0)).to(cuda)
    upstream = torch.randn(6, *plain.shape, generator=torch.Generator().manual_seed(1)).to(cuda)
    made, expected = fused.masks(parameters), plain.masks(parameters)
    torch.testing.assert_close(made.pixels, expected.pixels, rtol=1e-5, atol=1e-6)
    gradient = fused.gradient(upstream, made)
    torch.testing.assert_close(gradient, plain.gradient(upstream, expected), rtol=1e-4, atol=1e-5)
