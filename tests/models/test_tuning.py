"""The engine is what measured fastest; nothing fixed is changed."""

from __future__ import annotations

import pytest
import torch

from adasise_bench.models import tuning
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.tuning import tune


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Plants run-times: channels_last is faster, more than 16 do not fit; lists what was tried."""
    tried: list[Engine] = []

    def seconds(classifier: Classifier, image: torch.Tensor, _least: float) -> list[float]:
        engine = classifier.engine
        tried.append(engine)
        if engine.batch_size > 16:
            raise torch.OutOfMemoryError("planted")
        per_input = {"contiguous": 2.0, "channels_last": 1.0}[engine.layout] / engine.batch_size**0.5
        return [per_input * engine.batch_size]

    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    return tried


def test_takes_the_fastest_layout_and_the_last_batch_that_gains(
    tiny: Classifier, image: torch.Tensor, measured: list[Engine]
) -> None:
    assert tune(tiny, image) == Engine("channels_last", 16)
    assert [engine.batch_size for engine in measured] == [8, 8, 16, 32]


def test_takes_the_smallest_of_about_equal_batches(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    per_input = {8: 1.0, 16: 0.91, 32: 0.9}

    def seconds(classifier: Classifier, _image: torch.Tensor, _least: float) -> list[float]:
        return [per_input[classifier.engine.batch_size] * classifier.engine.batch_size]

    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    assert tune(tiny, image, layout="contiguous") == Engine("contiguous", 16)


def test_what_is_fixed_stays(tiny: Classifier, image: torch.Tensor, measured: list[Engine]) -> None:
    assert tune(tiny, image, layout="contiguous") == Engine("contiguous", 16)
    assert tune(tiny, image, batch_size=5, compile=True) == Engine("channels_last", 5, compile=True)
    measured.clear()
    assert tune(tiny, image, layout="contiguous", batch_size=3) == Engine("contiguous", 3)
    assert not measured


def test_measures_real_batches(tiny: Classifier, image: torch.Tensor) -> None:
    passed = []
    tiny.module.register_forward_pre_hook(lambda _m, inputs: passed.append(len(inputs[0])))
    engine = tune(tiny, image, batch_size=6)
    assert set(passed) == {6}
    assert len(passed) >= 4
    assert engine.batch_size == 6
    assert engine.layout in ("contiguous", "channels_last")
