"""The plain forward pass is timed per input, and again when the last time is too long ago."""

from __future__ import annotations

import pytest
import torch

from adasise_bench.models import yardstick
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.yardstick import Yardstick, batch_seconds


@pytest.fixture
def passed(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Sizes of the batches that passed; each takes half a second, the first two of all."""
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


def test_seconds_are_per_input_and_kept_for_a_while(
    tiny: Classifier, image: torch.Tensor, passed: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = Yardstick(tiny)
    assert [stick.seconds(image), stick.seconds(image)] == [0.5 / 16] * 2
    assert len(passed) == 2
    stick.seconds(image[..., :24])
    assert len(passed) == 4
    monkeypatch.setattr(yardstick, "_LASTS_SECONDS", -1.0)
    stick.seconds(image[..., :24])
    assert len(passed) == 6


def test_short_of_memory_the_batch_is_halved(
    tiny: Classifier, image: torch.Tensor, passed: list[float]
) -> None:
    def refuse(_module: object, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 8:
            raise torch.OutOfMemoryError("planted")

    tiny.module.register_forward_pre_hook(refuse)
    assert Yardstick(tiny).seconds(image) == 0.5 / 8
    assert tiny.batch_size.value == 8
