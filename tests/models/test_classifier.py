"""How a network is run changes no value beyond rounding."""

from __future__ import annotations

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


def test_only_whole_batches_pass_through_the_compiled_network(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def fake(inputs: torch.Tensor) -> torch.Tensor:
        compiled.append(len(inputs))
        return tiny.module(inputs)

    monkeypatch.setattr(torch, "compile", lambda _module, **_settings: fake)
    classifier = tiny.with_engine(Engine("contiguous", 3, "default"))
    classifier.run_whole_batch(image)
    compiled.clear()
    for count in (1, 3, 2, 3):
        batch = image.expand(count, -1, -1, -1)
        assert torch.equal(classifier.scores(batch), tiny.scores(batch))
    assert compiled == [3, 3]


def test_gradients_of_several_classes_equal_those_of_each(tiny: Classifier, image: torch.Tensor) -> None:
    together = tiny.block_maps(image, [2, 0])
    for row, target in enumerate((2, 0)):
        for one, other in zip(tiny.block_maps(image, [target]), together, strict=True):
            assert torch.equal(one.maps, other.maps)
            assert torch.equal(one.gradients[0], other.gradients[row])
