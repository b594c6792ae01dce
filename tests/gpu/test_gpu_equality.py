"""A GPU finds the maps that a CPU finds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from golden_maps import OPTIONS
from gpu_network import tiny_on

from adasise_bench.methods import Explanation, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock

pytestmark = pytest.mark.gpu

BOUND = 1e-4
"""Largest difference of a pixel, as a share of the map's highest: rounding of float32 in another order."""

BOUNDS = {"extremal_perturbation": 1e-2, "information_bottleneck": 1e-3}
"""Optimisations amplify rounding (docs/performance.md)."""


def draws_of_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every device draw the CPU's random numbers, which else are others by the same seed."""
    draw: Callable[..., torch.Tensor] = torch.randn
    twins: dict[int, torch.Generator] = {}

    def drawn(*shape: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
        twin = twins.setdefault(id(generator), torch.Generator().manual_seed(generator.initial_seed()))
        return draw(*shape, generator=twin).to(device)

    monkeypatch.setattr(torch, "randn", drawn)


def explain(method: str, classifier: Classifier, image: torch.Tensor) -> Explanation:
    options: Any = {"name": method} | OPTIONS.get(method, {})
    inside = torch.zeros(image.shape[2:], dtype=torch.bool)
    inside[5:15, 4:9] = True
    device = classifier.device
    request = Request(parse_method(options), image.to(device), 1, seed=7, inside=inside.to(device))
    return request.method.explain(classifier, request, PhaseClock(device))


@pytest.mark.parametrize("method", METHODS)
def test_a_gpu_finds_the_map_of_a_cpu(
    method: str, cuda: torch.device, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    draws_of_the_cpu(monkeypatch)
    expected = explain(method, tiny_on(torch.device("cpu")), image)
    found = explain(method, tiny_on(cuda), image)
    assert found.saliency.device == cuda
    assert (found.forwards, found.backwards) == (expected.forwards, expected.backwards)
    assert found.maps_kept == expected.maps_kept
    difference = (found.saliency.cpu() - expected.saliency).abs().max()
    assert expected.saliency.max() > 0
    assert difference <= BOUNDS.get(method, BOUND) * expected.saliency.max()


@pytest.mark.parametrize(("precision", "bound"), [("tf32", 5e-3), ("bf16", 5e-2), ("fp16", 5e-3)])
def test_the_faster_precisions_stay_near(
    precision: str, bound: float, cuda: torch.device, image: torch.Tensor
) -> None:
    exact, other = tiny_on(cuda), tiny_on(cuda)
    object.__setattr__(other, "precision", precision)
    assert torch.allclose(other.scores(image.to(cuda)), exact.scores(image.to(cuda)), atol=bound)
