"""The plain forward pass is timed in whole batches, per input."""

from __future__ import annotations

import pytest
import torch

from adasise_bench.models import tuning
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.tuning import Yardstick, batch_seconds, plain_forward_seconds


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
    monkeypatch.setattr(tuning, "time", Clock)
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


@pytest.fixture
def clock(passed: list[float], monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time that the planted clock shows, for explanations to pass."""
    shown = [tuning.time.perf_counter()]
    inner = tuning.time

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return inner.perf_counter() + shown[0]

    monkeypatch.setattr(tuning, "time", Clock)
    return shown


def test_takes_a_twentieth_of_the_time_beside_quick_explanations(
    tiny: Classifier, image: torch.Tensor, passed: list[float], clock: list[float]
) -> None:
    """1600 explanations of 1/16 s: a timing for each would be 3200 batches of half a second."""
    stick = Yardstick(tiny)
    for _ in range(1600):
        assert stick.seconds(image) == 0.5 / 16
        clock[0] += 0.0625
    first, later = 2.5, 1.0
    taken = len(passed) // 2
    elapsed = 100 + first + (taken - 1) * later
    assert first + (taken - 2) * later <= 0.05 * elapsed < first + taken * later


def test_is_taken_before_every_picture_beside_slow_explanations(
    tiny: Classifier, image: torch.Tensor, passed: list[float], clock: list[float]
) -> None:
    stick = Yardstick(tiny)
    for number in range(1, 6):
        stick.seconds(image)
        assert len(passed) == 2 * number
        clock[0] += 60.0


def test_sizes_of_pictures_and_batches_are_timed_each(
    tiny: Classifier, image: torch.Tensor, passed: list[float], clock: list[float]
) -> None:
    stick = Yardstick(tiny)
    for inputs in (image, image[..., :32], image, image[..., :32]):
        stick.seconds(inputs)
    assert passed == [16] * 4
    tiny.batch_size.value = 8
    assert stick.seconds(image) == 0.5 / 8
    assert passed == [16] * 4 + [8] * 2


def test_a_failure_is_tried_again(
    tiny: Classifier, image: torch.Tensor, passed: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    stick = Yardstick(tiny)
    with monkeypatch.context() as inner:
        inner.setattr(tuning, "plain_forward_seconds", lambda *_: pytest.fail("planted"))
        with pytest.raises(pytest.fail.Exception):
            stick.seconds(image)
    assert stick.seconds(image) == 0.5 / 16
