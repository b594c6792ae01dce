"""Integrated Gradients against Captum, its axioms and a closed form."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from captum.attr import IntegratedGradients
from conftest import explained, make_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from adasise_bench.methods.gradients.integrated_gradients import attributions
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.step_watch import watched


@pytest.mark.parametrize("steps", [1, 7, 50])
def test_equals_captum(tiny: Classifier, resnet_layout: Classifier, image: torch.Tensor, steps: int) -> None:
    for classifier, target in ((tiny, 1), (resnet_layout, 17))[: 1 if steps == 50 else 2]:
        expected = IntegratedGradients(classifier.module).attribute(image, target=target, n_steps=steps)[0]
        found = attributions(classifier, image, target, steps)
        torch.testing.assert_close(
            found, expected.float(), rtol=1e-4, atol=float(expected.abs().max()) * 1e-5
        )


def test_the_map_is_the_magnitude_of_the_sum_over_colours(tiny: Classifier, image: torch.Tensor) -> None:
    found = explained({"name": "integrated_gradients", "steps": 6}, tiny, image, 3)
    torch.testing.assert_close(found.saliency, attributions(tiny, image, 3, 6).sum(dim=0).abs())
    assert (found.forwards, found.backwards) == (6, 6)


class Cubic(nn.Module):
    """Output c is Σ (x + c)³ over positions and colours, whose attributions are known."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([((x + c) ** 3).sum(dim=(1, 2, 3)) for c in range(4)], dim=1)


@given(target=st.integers(0, 3), steps=st.integers(2, 60), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_is_exact_for_a_cubic_from_two_steps_on(target: int, steps: int, seed: int) -> None:
    image = torch.randn(1, 3, 5, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    found = attributions(make_classifier(Cubic(), (), tuple("abcd")), image, target, steps)
    torch.testing.assert_close(found, ((image + target) ** 3 - target**3)[0], rtol=1e-9, atol=1e-9)


def test_adds_up_to_the_change_of_the_output(tiny: Classifier, image: torch.Tensor) -> None:
    changes = (tiny.outputs(image) - tiny.outputs(torch.zeros_like(image)))[0]
    sums = torch.stack([attributions(tiny, image, target, 100).sum() for target in range(4)])
    torch.testing.assert_close(sums, changes, rtol=0, atol=float(changes.abs().max()) * 1e-3)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_does_not_depend_on_the_batch(tiny: Classifier, image: torch.Tensor, batch_size: int) -> None:
    expected = attributions(tiny, image, 1, 50)
    found = attributions(replace(tiny, batch_size=BatchSize(batch_size)), image, 1, 50)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=float(expected.abs().max()) * 1e-6)


def test_short_of_memory_it_takes_fewer_steps_at_once(tiny: Classifier, image: torch.Tensor) -> None:
    expected, seen, done = attributions(tiny, image, 1, 20), [], []

    def short_of_memory(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        seen.append(len(inputs[0]))
        if len(inputs[0]) > 6:
            raise torch.OutOfMemoryError("planted")

    tiny.module.register_forward_pre_hook(short_of_memory)
    with watched(lambda number, total: done.append((number, total))):
        found = attributions(tiny, image, 1, 20)
    assert seen == [16, 8, 4, 4, 4, 4, 4]
    assert done == [(4, 20), (8, 20), (12, 20), (16, 20), (20, 20)]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=float(expected.abs().max()) * 1e-6)
