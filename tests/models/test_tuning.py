"""The engine is what measured fastest; nothing fixed is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from adasise_bench.models import tuning
from adasise_bench.models.backends.input_gradients import InputGradients
from adasise_bench.models.backends.openvino import OpenVino
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import BackendName, Engine
from adasise_bench.models.tuning import LONG_RUN, backends_to_try, tune
from adasise_bench.models.workload import GradientPasses, Workload
from adasise_bench.utils.errors import ConfigError


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Engine]:
    """Plants run-times: channels_last is faster, more than 16 do not fit; lists what was tried."""
    tried: list[Engine] = []

    def seconds(classifier: Classifier, image: torch.Tensor, _least: float) -> list[float]:
        engine = classifier.engine
        tried.append(engine)
        if engine.batch_size > 16:
            raise torch.OutOfMemoryError("planted")
        per_input = {"contiguous": 2e-3, "channels_last": 1e-3}[engine.layout] / engine.batch_size**0.5
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
    per_input = {8: 1e-3, 16: 0.91e-3, 32: 0.9e-3}

    def seconds(classifier: Classifier, _image: torch.Tensor, _least: float) -> list[float]:
        return [per_input[classifier.engine.batch_size] * classifier.engine.batch_size]

    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    assert tune(tiny, image, layout="contiguous") == Engine("contiguous", 16)


def test_what_is_fixed_stays(tiny: Classifier, image: torch.Tensor, measured: list[Engine]) -> None:
    assert tune(tiny, image, layout="contiguous") == Engine("contiguous", 16)
    assert tune(tiny, image, batch_size=5, backends=["torch-compile"]) == Engine(
        "channels_last", 5, "torch-compile"
    )
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


SPEEDS = {
    size: 1e-3 * taken
    for size, taken in (
        (32, 1.3), (64, 1.1), (128, 1.02), (256, 1.0), (512, 0.95),
        (225, 1.0), (113, 1.02), (469, 0.95), (293, 1.0)
    )
}  # fmt: skip


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
    plant(monkeypatch, lambda engine: 9e-3 if engine.batch_size == 113 else SPEEDS[engine.batch_size])
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
def planted_backends(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Plants preparing: its seconds by backend, and which fail; lists what was given back."""
    settings: dict[str, Any] = {"seconds": {}, "failing": (), "released": []}
    now = [0.0]

    class Planted:
        def __init__(self, backend: Any, *_: object) -> None:
            self.name = backend.name
            self.failed = self.name in settings["failing"]
            now[0] += settings["seconds"].get(self.name, 10.0)

        def release(self) -> None:
            settings["released"].append(self.name)

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    monkeypatch.setattr("adasise_bench.models.classifier.WholeBatches", Planted)
    monkeypatch.setattr(tuning, "time", Clock)
    return settings


ALL: list[BackendName] = ["torch", "torch-compile", "torch-compile-graphs"]


@pytest.mark.parametrize(
    ("speeds", "forwards", "backends", "expected"),
    [
        ((1e-3, 0.8e-3, 0.7e-3), 10**6, ALL, "torch-compile-graphs"),
        ((1e-3, 0.7e-3, 0.8e-3), 10**6, ALL, "torch-compile"),
        ((1e-3, 1.1e-3, 1e-3), 10**6, ALL, "torch"),
        ((1e-3, 0.98e-3, 0.98e-3), 10**6, ALL, "torch"),
        ((1e-3, 0.8e-3, 0.7e-3), 10**4, ALL, "torch"),
        ((1e-3, 0.8e-3, 0.7e-3), 3 * 10**4, ALL, "torch"),
        ((1e-3, 0.8e-3, 0.7e-3), 6 * 10**4, ALL, "torch-compile-graphs"),
        ((1e-3, 0.8e-3, 0.7e-3), 10**4, ALL[1:], "torch-compile-graphs"),
        ((1e-3, 0.8e-3, 0.7e-3), 0, ALL[1:], "torch-compile-graphs"),
    ],
)
@pytest.mark.usefixtures("planted_backends")
def test_a_backend_is_taken_where_it_repays_itself(
    tiny: Classifier,
    image: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    speeds: tuple[float, ...],
    forwards: int,
    backends: list[BackendName],
    expected: BackendName,
) -> None:
    by_name = dict(zip(ALL, speeds, strict=True))
    plant(monkeypatch, lambda engine: by_name[engine.backend])
    workload = Workload((range(10, 11),), forwards // 10)
    found = tune(tiny, image, layout="contiguous", batch_size=4, backends=backends, workload=workload)
    assert found == Engine("contiguous", 4, expected)


def test_a_short_run_prepares_nothing(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """19 seconds of scoring, though a backend would be a hundred times as fast and ready at once."""
    planted_backends["seconds"] = {"openvino": 0.0}
    tried = plant(monkeypatch, lambda engine: 1e-3 if engine.backend == "torch" else 1e-5)
    for seconds, expected in ((19, "torch"), (21, "openvino")):
        tried.clear()
        workload = Workload((range(1000, 1001),), seconds)
        found = tune(
            tiny, image, layout="contiguous", batch_size=4, backends=["torch", "openvino"], workload=workload
        )
        assert found.backend == expected
        assert {engine.backend for engine in tried} == {"torch", expected}


def test_everything_prepared_is_given_back(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch, lambda _engine: 1e-3)
    tune(tiny, image, layout="contiguous", batch_size=4, backends=ALL[1:])
    assert planted_backends["released"] == ALL[1:]


def test_a_quick_backend_has_a_batch_size_of_its_own(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch gains by large batches, OpenVINO does not; a fixed size stays."""
    tried = plant(
        monkeypatch, lambda engine: {"torch": 0.064 / engine.batch_size, "openvino": 2e-5}[engine.backend]
    )
    backends: list[BackendName] = ["torch", "openvino"]
    workload = Workload((range(1500, 2500),), 10**5)
    found = tune(tiny, image, layout="contiguous", backends=backends, workload=workload)
    assert found == Engine("contiguous", 32, "openvino")
    assert {engine.batch_size for engine in tried if engine.backend == "openvino"} == {32, 512}
    fixed = tune(tiny, image, layout="contiguous", batch_size=64, backends=["openvino"])
    assert fixed == Engine("contiguous", 64, "openvino")


def test_a_slow_spell_of_the_machine_does_not_decide(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch is measured while something else runs; in turns it is the faster."""
    planted_backends["seconds"] = {"openvino": 0.0}
    calls = []

    def seconds(engine: Engine) -> float:
        calls.append(engine.backend)
        return 1e-3 if engine.backend == "openvino" else (3e-3 if len(calls) < 3 else 0.9e-3)

    plant(monkeypatch, seconds)
    workload = Workload((range(1000, 1001),), 1000)
    found = tune(
        tiny, image, layout="contiguous", batch_size=4, backends=["torch", "openvino"], workload=workload
    )
    assert found.backend == "torch"


def test_a_slow_compiler_is_not_asked_twice(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planted_backends["seconds"] = {"torch-compile": 121.0}
    tried = plant(monkeypatch, lambda _engine: 1e-3)
    tune(tiny, image, layout="contiguous", batch_size=4, backends=ALL[1:])
    assert [engine.backend for engine in tried] == ["torch-compile"]


@pytest.mark.parametrize(
    ("failing", "expected"), [(["torch-compile"], "torch-compile-graphs"), (ALL[1:], "torch")]
)
def test_what_fails_is_not_chosen(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    failing: list[str],
    expected: str,
) -> None:
    planted_backends["failing"] = failing
    plant(monkeypatch, lambda _engine: 1e-3)
    engine = tune(tiny, image, layout="contiguous", batch_size=4, backends=ALL[1:])
    assert engine.backend == expected


@pytest.mark.parametrize(
    ("per_input", "preparing", "limit"),
    [(0.05, 2.5, 30), (0.15, 5.0, 30), (0.3, 5.0, 40), (0.6, 4.0, 60)],
)
def test_choosing_ends_within_half_a_minute(
    tiny: Classifier,
    image: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    per_input: float,
    preparing: float,
    limit: float,
) -> None:
    """By a planted clock: networks like ResNet-50 and VGG16 at 224 pixels.

    Where a batch takes seconds, what cannot be left out takes longer: two layouts, one backend, one turn.
    """
    now, prepared = [0.0], list[int]()

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return now[0]

    class Planted:
        failed = False

        def __init__(self, *_: object) -> None:
            now[0] += preparing
            prepared.append(1)

        def release(self) -> None:
            pass

    def seconds(classifier: Classifier, _image: torch.Tensor, least: float) -> list[float]:
        each = classifier.engine.batch_size * per_input * (0.7 if classifier.backend else 1.0)
        batches = max(1, -(-least // each))
        now[0] += (1 + batches) * each
        return [each]

    monkeypatch.setattr("adasise_bench.models.classifier.WholeBatches", Planted)
    monkeypatch.setattr(tuning, "batch_seconds", seconds)
    monkeypatch.setattr(tuning, "time", Clock)
    masks = Workload((range(1500, 2500),), 100)
    engine = tune(tiny, image, backends=["torch", "openvino"], workload=masks)
    assert engine.backend == "openvino"
    assert now[0] < limit


def test_int8_is_not_calibrated_for_the_choice(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing else computes in it, and every batch size would be calibrated anew."""
    tried = plant(monkeypatch, lambda engine: 1e-3)
    engine = tune(replace(tiny, precision="int8"), image, backends=["openvino"])
    assert engine.backend == "openvino"
    assert {candidate.backend for candidate in tried} == {"torch"}
    assert not planted_backends["released"]


@pytest.mark.parametrize(
    ("wanted", "device", "precision", "forwards", "expected"),
    [
        ("torch", "cuda", "fp32", LONG_RUN, ["torch"]),
        ("auto", "cuda", "fp32", LONG_RUN - 1, ["torch"]),
        ("auto", "cuda", "bf16", LONG_RUN, ["torch", "torch-compile", "torch-compile-graphs"]),
        ("torch-compile", "cuda", "fp32", 0, ["torch-compile", "torch-compile-graphs"]),
        ("auto", "cpu", "fp32", LONG_RUN, ["torch", "openvino"]),
        ("auto", "cpu", "fp16", LONG_RUN, ["torch"]),
        ("openvino", "cpu", "bf16", 0, ["openvino"]),
        ("torch-compile", "cpu", "fp32", 0, ["torch-compile"]),
    ],
)
def test_what_is_tried_follows_device_precision_and_length(
    monkeypatch: pytest.MonkeyPatch,
    wanted: Any,
    device: str,
    precision: Any,
    forwards: int,
    expected: list[BackendName],
) -> None:
    monkeypatch.setattr(OpenVino, "version", lambda: "2026.4.1")
    workload = Workload((range(1, 2),), forwards)
    assert backends_to_try(wanted, torch.device(device), precision, workload) == tuple(expected)


@pytest.mark.parametrize(
    ("version", "device", "precision", "reason"),
    [
        (None, "cpu", "fp32", r"not installed: pip install 'adasise-bench\[openvino\]'"),
        ("2026.4.1", "cuda", "fp32", "runs on a CPU only"),
        ("2026.4.1", "cpu", "fp16", "not in fp16"),
    ],
)
def test_a_backend_that_cannot_run_here_is_refused_when_asked_for(
    monkeypatch: pytest.MonkeyPatch, version: str | None, device: str, precision: Any, reason: str
) -> None:
    monkeypatch.setattr(OpenVino, "version", lambda: version)
    with pytest.raises(ConfigError, match=rf"^engine\.backend=openvino: .*{reason}.*") as refused:
        backends_to_try("openvino", torch.device(device), precision, Workload())
    assert refused.value.exit_code == 2
    assert backends_to_try("auto", torch.device(device), precision, Workload()) == ("torch",)


def summed(outputs: torch.Tensor, _targets: torch.Tensor) -> torch.Tensor:
    return outputs.sum()


@pytest.mark.parametrize(
    ("forward", "gradient", "slow_to_prepare", "forwards", "expected"),
    [
        (1.0, 0.5, 0, 0, "openvino"),
        (0.5, 1.2, 0, 0, "torch"),  # a faster forward pass does not help where gradients are slower
        (0.5, 1.2, 0, 10**6, "openvino"),  # unless most of the time goes into forward passes
        (1.0, 0.5, 200, 0, "torch"),  # 300 seconds of gradients would be 350
    ],
)
def test_gradients_decide_by_their_own_speed(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    forward: float,
    gradient: float,
    slow_to_prepare: float,
    forwards: int,
    expected: str,
) -> None:
    """10 explanations of 7500 passes of 4 inputs, 4 ms each with torch: 300 seconds."""
    planted_backends["seconds"] = {"openvino": 1.0}
    plant(monkeypatch, lambda engine: 1e-3 * (forward if engine.backend == "openvino" else 1))
    released, seen = [], set[str]()

    def seconds(classifier: Classifier, passes: GradientPasses, _image: torch.Tensor) -> float:
        name, first = classifier.engine.backend, classifier.engine.backend not in seen
        seen.add(name)
        taken = passes.at_once * 1e-3 * (gradient if name == "openvino" else 1)
        return taken + (slow_to_prepare if first and name == "openvino" else 0)

    monkeypatch.setattr(tuning, "_pass_seconds", seconds)
    monkeypatch.setattr(InputGradients, "release", lambda self: released.append(self))
    gradients = (GradientPasses(30_000, 4, summed),)
    counts = (range(forwards // 10, forwards // 10 + 1),) if forwards else ()
    workload = Workload(counts, 10, gradients)
    found = tune(
        tiny, image, layout="contiguous", batch_size=4, backends=["torch", "openvino"], workload=workload
    )
    assert found.backend == expected
    assert seen == {"torch", "openvino"}
    assert released


@pytest.mark.parametrize(("preparing", "measured"), [(1.0, True), (8.0, False)])
def test_without_time_gradients_are_taken_to_be_as_fast_as_forwards(
    tiny: Classifier,
    image: torch.Tensor,
    planted_backends: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    preparing: float,
    measured: bool,
) -> None:
    planted_backends["seconds"] = {"openvino": preparing}
    plant(monkeypatch, lambda engine: 0.5e-3 if engine.backend == "openvino" else 1e-3)
    passed: list[str] = []

    def seconds(classifier: Classifier, *_: object) -> float:
        passed.append(classifier.engine.backend)
        return 1e-3

    monkeypatch.setattr(tuning, "_pass_seconds", seconds)
    workload = Workload((), 10, (GradientPasses(30_000, 4, summed),))
    found = tune(
        tiny, image, layout="contiguous", batch_size=4, backends=["torch", "openvino"], workload=workload
    )
    assert found.backend == ("torch" if measured else "openvino")
    assert passed == (["torch", "openvino"] * 3 if measured else [])


def test_few_gradients_prepare_nothing(
    tiny: Classifier, image: torch.Tensor, planted_backends: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """6000 gradients last 18 seconds, 7000 last 21."""
    planted_backends["seconds"] = {"openvino": 0.0}
    monkeypatch.setattr(tuning, "_pass_seconds", lambda *_: 1e-3)
    for inputs, expected in ((6000, {"torch"}), (7000, {"torch", "openvino"})):
        tried = plant(monkeypatch, lambda _engine: 1e-3)
        workload = Workload((), 1, (GradientPasses(inputs, 4, summed),))
        backends: list[BackendName] = ["torch", "openvino"]
        tune(tiny, image, layout="contiguous", batch_size=4, backends=backends, workload=workload)
        assert {engine.backend for engine in tried} == expected


def test_gradients_that_fail_leave_torch(
    tiny: Classifier, image: torch.Tensor, planted_backends: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def short(*_: object) -> float:
        raise torch.OutOfMemoryError("planted")

    planted_backends["seconds"] = {"openvino": 0.0}
    plant(monkeypatch, lambda engine: 0.5e-3 if engine.backend == "openvino" else 1e-3)
    monkeypatch.setattr(Classifier, "input_gradient", short)
    workload = Workload((), 10, (GradientPasses(30_000, 4, summed),))
    found = tune(
        tiny, image, layout="contiguous", batch_size=4, backends=["torch", "openvino"], workload=workload
    )
    assert found.backend == "torch"
