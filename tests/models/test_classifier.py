"""How a network is run changes no value beyond rounding."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_layouts_give_the_same_scores(resnet_layout: Classifier, layout: str) -> None:
    inputs = torch.randn(5, 3, 64, 56, generator=torch.Generator().manual_seed(0)) * 50
    expected = resnet_layout.scores(inputs)
    classifier = resnet_layout.with_engine(Engine(layout, 5))  # type: ignore[arg-type]
    batch = classifier.empty_batch(inputs[:1]).copy_(inputs)
    torch.testing.assert_close(classifier.scores(batch), expected, atol=1e-6, rtol=0)


def test_only_whole_batches_pass_through_the_backend(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def fake(inputs: torch.Tensor) -> torch.Tensor:
        compiled.append(len(inputs))
        return tiny.module(inputs)

    monkeypatch.setattr(torch, "compile", lambda _module, **_settings: fake)
    classifier = tiny.with_engine(Engine("contiguous", 3, "torch-compile"))
    classifier.run_whole_batch(image)
    compiled.clear()
    for count in (1, 3, 2, 3):
        batch = image.expand(count, -1, -1, -1)
        assert torch.equal(classifier.scores(batch), tiny.scores(batch))
    assert compiled == [3, 3]


@pytest.mark.parametrize("found", [False, True])
def test_kernels_are_timed_for_whole_batches_only(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch, found: bool
) -> None:
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", found)
    timed: list[tuple[int, bool]] = []
    tiny.module.register_forward_pre_hook(
        lambda _module, inputs: timed.append((len(inputs[0]), torch.backends.cudnn.benchmark))
    )
    for wanted in (True, False):
        classifier = replace(tiny.with_engine(Engine("contiguous", 3)), times_kernels=wanted)
        for count in (3, 2):
            classifier.scores(image.expand(count, -1, -1, -1))
        classifier.block_maps(image, [0])
    assert timed == [(3, True), (2, found), (1, found), (3, found), (2, found), (1, found)]
    assert torch.backends.cudnn.benchmark is found


def test_gradients_of_several_classes_equal_those_of_each(tiny: Classifier, image: torch.Tensor) -> None:
    together = tiny.block_maps(image, [2, 0])
    for row, target in enumerate((2, 0)):
        for one, other in zip(tiny.block_maps(image, [target]), together, strict=True):
            assert torch.equal(one.maps, other.maps)
            assert torch.equal(one.gradients[0], other.gradients[row])
