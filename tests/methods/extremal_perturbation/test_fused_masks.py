"""The functions that are compiled compute the masks and gradients of TorchRay's generator."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torchray.attribution.extremal_perturbation import MaskGenerator

from adasise_bench.methods.extremal_perturbation import fused_masks
from adasise_bench.methods.extremal_perturbation.fused_masks import FusedMasks, fused_where_possible
from adasise_bench.methods.extremal_perturbation.smooth_masks import AreaMasks


def assert_equal_torchrays(size: tuple[int, int], step: int, sigma: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        generator = MaskGenerator(size, step, sigma, clamp=False)
    masks = FusedMasks(AreaMasks(size, step, sigma, torch.device("cpu")))
    noise = torch.Generator().manual_seed(4)
    parameters = torch.rand(2, *masks.parameters, generator=noise)
    upstream = torch.randn(2, *masks.shape, generator=noise)
    entry = parameters[:, None].clone().requires_grad_(True)
    full = generator.generate(entry)[1][:, 0]
    (expected,) = torch.autograd.grad((full * upstream).sum(), entry)

    made = masks.masks(parameters)
    torch.testing.assert_close(made.pixels, full.detach(), atol=1e-5, rtol=0)
    gradient = masks.gradient(upstream, made)
    scale = float(expected.abs().max())
    torch.testing.assert_close(gradient, expected[:, 0], atol=1e-4 * scale, rtol=0)


@pytest.mark.parametrize(
    ("size", "step", "sigma"),
    [((48, 40), 7, 21.0), ((33, 50), 4, 8.0), ((30, 30), 5, 12.5), ((16, 9), 1, 2.0), ((20, 31), 6, 4.0)],
)
def test_equal_torchrays_uncompiled(
    size: tuple[int, int], step: int, sigma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fused_masks, "_compiled", lambda function: function)
    assert_equal_torchrays(size, step, sigma)


@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler")
def test_equal_torchrays_compiled() -> None:
    assert_equal_torchrays((12, 10), 3, 3.0)


def test_a_cpu_keeps_its_slices() -> None:
    masks = AreaMasks((12, 10), 3, 3.0, torch.device("cpu"))
    assert fused_where_possible(masks, 2) is masks


def failing(_function: object) -> Callable[..., Any]:
    def call(*_arguments: object) -> Any:
        raise RuntimeError("no compiler was found")

    return call


def test_what_cannot_be_compiled_is_computed_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fused_masks, "_is_compilable", lambda _bell: True)
    monkeypatch.setattr(fused_masks, "_compiled", failing)
    masks = AreaMasks((12, 10), 3, 3.0, torch.device("cpu"))
    assert fused_where_possible(masks, 2) is masks
    assert fused_where_possible(masks, 2) is masks
    told = capsys.readouterr().err.splitlines()
    assert told == ["masks are computed kernel by kernel, not compiled: RuntimeError: no compiler was found"]


def test_what_can_be_compiled_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_masks, "_is_compilable", lambda _bell: True)
    monkeypatch.setattr(fused_masks, "_compiled", lambda function: function)
    masks = AreaMasks((12, 10), 3, 3.0, torch.device("cpu"))
    assert isinstance(fused_where_possible(masks, 2), FusedMasks)
