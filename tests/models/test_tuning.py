"""The engine is what measured fastest; nothing fixed is changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch

from adasise_bench.models import tuning
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.tuning import LONG_RUN, modes_to_try, tune
from adasise_bench.models.workload import Workload


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
    assert tune(tiny, image, batch_size=5, modes=["default"]) == Engine("channels_last", 5, "default")
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


def plant(monkeypatch: pytest.MonkeyPatch, per_input: Callable[[Engine], float]) -> list[Engine]:
    """Let every batch take the seconds per input of its engine; lists what was tried."""
    tried: list[Engine] = []

    def seconds(classifier: Classifier, _image: torch.Tensor, _least: float) -> list[float]:
        tried.append(classifier.engine)
        return [per_input(classifier.engine) * classifier.engine.batch_size]

    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    monkeypatch.setattr(tuning, "_BATCHES", {"cpu": (32, 64, 128, 256, 512)})
    return tried


SPEEDS = {32: 1.3, 64: 1.1, 128: 1.02, 256: 1.0, 512: 0.95, 225: 1.0, 113: 1.02, 469: 0.95, 293: 1.0}


def test_filling_up_the_last_batch_is_part_of_the_price(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Alone, 512 is the fastest; of about 1950 inputs it loses 256, which costs more than it gains."""
    plant(monkeypatch, lambda engine: SPEEDS[engine.batch_size])
    varying = Workload((range(1561, 2344),), 10)
    assert tune(tiny, image, layout="contiguous").batch_size == 512
    chosen = tune(tiny, image, layout="contiguous", workload=varying).batch_size
    cost = {
        size: taken * sum(-(-n // size) * size for n in varying.counts[0]) for size, taken in SPEEDS.items()
    }
    assert chosen == 128
    assert cost[128] <= min(cost[size] for size in (32, 64, 256, 512)) / 0.97


def test_a_fixed_count_is_split_evenly(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = plant(monkeypatch, lambda engine: SPEEDS[engine.batch_size])
    steps = Workload((range(225, 226),), 10)
    assert tune(tiny, image, layout="contiguous", workload=steps).batch_size == 113
    assert [engine.batch_size for engine in tried] == [32, 64, 128, 256, 512, 113]


def test_an_even_split_that_is_slow_is_not_taken(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, lambda engine: 9.0 if engine.batch_size == 113 else SPEEDS[engine.batch_size])
    steps = Workload((range(225, 226),), 10)
    assert tune(tiny, image, layout="contiguous", workload=steps).batch_size == 128


def test_an_even_split_that_saves_little_is_not_measured(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = plant(monkeypatch, lambda engine: SPEEDS[engine.batch_size])
    masks = Workload((range(8000, 8001),), 10)
    assert tune(tiny, image, layout="contiguous", workload=masks).batch_size == 512
    assert [engine.batch_size for engine in tried] == [32, 64, 128, 256, 512]


@pytest.fixture
def compiler(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Plants compiling: its seconds by mode, and which modes fail; lists what was given back."""
    settings: dict[str, Any] = {"seconds": {}, "failing": (), "released": []}
    now = [0.0]

    class Compiled:
        def __init__(self, _module: object, mode: str) -> None:
            self.mode, self.failed = mode, mode in settings["failing"]
            now[0] += settings["seconds"].get(mode, 10.0)

        def release(self) -> None:
            settings["released"].append(self.mode)

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    monkeypatch.setattr("adasise_bench.models.classifier.CompiledForward", Compiled)
    monkeypatch.setattr(tuning, "time", Clock)
    return settings


MODES = [False, "default", "reduce-overhead"]


@pytest.mark.parametrize(
    ("speeds", "forwards", "modes", "expected"),
    [
        ({False: 1e-3, "default": 0.8e-3, "reduce-overhead": 0.7e-3}, 10**6, MODES, "reduce-overhead"),
        ({False: 1e-3, "default": 0.7e-3, "reduce-overhead": 0.8e-3}, 10**6, MODES, "default"),
        ({False: 1e-3, "default": 1.1e-3, "reduce-overhead": 1e-3}, 10**6, MODES, False),
        ({False: 1e-3, "default": 0.8e-3, "reduce-overhead": 0.7e-3}, 10**4, MODES, False),
        ({"default": 0.8e-3, "reduce-overhead": 0.7e-3}, 10**4, MODES[1:], "reduce-overhead"),
        ({"default": 0.8e-3, "reduce-overhead": 0.7e-3}, 0, MODES[1:], "reduce-overhead"),
    ],
)
def test_compiles_where_it_repays_itself(
    tiny: Classifier,
    image: torch.Tensor,
    compiler: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    speeds: Mapping[Any, float],
    forwards: int,
    modes: list[Any],
    expected: object,
) -> None:
    plant(monkeypatch, lambda engine: speeds[engine.compile])
    workload = Workload((range(10, 11),), forwards // 10)
    found = tune(tiny, image, layout="contiguous", batch_size=4, modes=modes, workload=workload)
    assert found == Engine("contiguous", 4, expected)  # type: ignore[arg-type]
    assert compiler["released"] == [mode for mode in modes if mode]


def test_a_slow_compiler_is_not_asked_twice(
    tiny: Classifier, image: torch.Tensor, compiler: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler["seconds"] = {"default": 121.0}
    tried = plant(monkeypatch, lambda _engine: 1e-3)
    tune(tiny, image, layout="contiguous", batch_size=4, modes=["default", "reduce-overhead"])
    assert [engine.compile for engine in tried] == ["default"]


@pytest.mark.parametrize(("failing", "expected"), [(["default"], "reduce-overhead"), (MODES[1:], False)])
def test_what_cannot_be_compiled_is_not_chosen(
    tiny: Classifier,
    image: torch.Tensor,
    compiler: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    failing: list[str],
    expected: object,
) -> None:
    compiler["failing"] = failing
    plant(monkeypatch, lambda _engine: 1e-3)
    engine = tune(tiny, image, layout="contiguous", batch_size=4, modes=["default", "reduce-overhead"])
    assert engine.compile == expected


@pytest.mark.parametrize(
    ("wanted", "device", "forwards", "expected"),
    [
        (False, "cuda", LONG_RUN, [False]),
        ("auto", "cuda", LONG_RUN - 1, [False]),
        ("auto", "cuda", LONG_RUN, [False, "default", "reduce-overhead"]),
        (True, "cuda", 0, ["default", "reduce-overhead"]),
        ("auto", "cpu", LONG_RUN, [False]),
        (True, "cpu", 0, ["default"]),
    ],
)
def test_what_is_tried_follows_device_and_length(
    wanted: Any, device: str, forwards: int, expected: list[Any]
) -> None:
    workload = Workload((range(1, 2),), forwards)
    assert modes_to_try(wanted, torch.device(device), workload) == tuple(expected)
