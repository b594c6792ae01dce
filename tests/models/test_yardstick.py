"""The plain forward pass is timed in whole batches, per input."""

from __future__ import annotations

import pytest
import torch

from adasise_bench.models import yardstick
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.yardstick import batch_seconds, plain_forward_seconds


@pytest.fixture
def passed(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sizes of the batches that passed; each takes half a second, the first two seconds."""
    sizes: list[float] = []

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    def count(_module: object, inputs: tuple[torch.Tensor]) -> None:
        now[0] += 0.5 if sizes else 2.0
        sizes.append(len(inputs[0]))

    now = [0.0]
    tiny.module.register_forward_pre_hook(count)
    monkeypatch.setattr(yardstick, "time", Clock)
    return sizes


def test_the_first_batch_is_discarded(tiny: Classifier, image: torch.Tensor, passed: list[float]) -> None:
    assert batch_seconds(tiny, image, least=1.2) == [0.5, 0.5, 0.5]
    assert passed == [16] * 4


def test_seconds_are_per_input(tiny: Classifier, image: torch.Tensor, passed: list[float]) -> None:
    assert plain_forward_seconds(tiny, image) == 0.5 / 16
    assert passed == [16, 16]


def test_short_of_memory_the_batch_is_halved(
    tiny: Classifier, image: torch.Tensor, passed: list[float]
) -> None:
    def refuse(_module: object, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 8:
            raise torch.OutOfMemoryError("planted")

    tiny.module.register_forward_pre_hook(refuse)
    assert plain_forward_seconds(tiny, image) == 0.5 / 8
    assert tiny.batch_size.value == 8
