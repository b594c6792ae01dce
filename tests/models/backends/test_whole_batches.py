"""Whole batches by a backend: few shapes, no silent end, memory given back, torch where the backend fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from adasise_bench.methods.masking import score_masks
from adasise_bench.models.backends import BACKENDS
from adasise_bench.models.backends.probe import Probe
from adasise_bench.models.backends.torch import Torch
from adasise_bench.models.backends.whole_batches import WholeBatches
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import BackendName, Engine
from adasise_bench.utils.precision import PrecisionName

_COMPILE = torch.compile


@pytest.fixture
def compiled_shapes(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Let Dynamo trace as ever and its backend only note the shapes: real compiling takes too long."""
    shapes: list[torch.Size] = []

    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        shapes.extend(one.shape for one in inputs if one.ndim == 4 and one.shape[1] == 3 and len(one) > 10)
        return graph.forward

    def compile(module: nn.Module, *, mode: str, dynamic: bool) -> Any:
        return _COMPILE(module, backend=backend, dynamic=dynamic)

    torch.compiler.reset()
    monkeypatch.setattr(torch, "compile", compile)
    return shapes


class Planted:
    """Stands for a compiled module: notes its calls, and does what is asked first."""

    def __init__(self, module: nn.Module, *, before: Callable[[torch.Tensor], None]) -> None:
        self.module, self.before = module, before

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        self.before(inputs)
        return self.module(inputs)


def plant(monkeypatch: pytest.MonkeyPatch, before: Callable[[torch.Tensor], None]) -> None:
    monkeypatch.setattr(torch, "compile", lambda module, **_settings: Planted(module, before=before))


def whole_batches(
    classifier: Classifier, name: BackendName = "torch-compile", precision: PrecisionName = "fp32"
) -> WholeBatches:
    backend, reference = (kind(classifier.module, classifier.device) for kind in (BACKENDS[name], Torch))
    assert isinstance(reference, Torch)
    probe = Probe(classifier.preprocessing, classifier.score)
    return WholeBatches(backend, reference, precision, "models.tiny", probe)


def batch(height: int) -> torch.Tensor:
    return torch.randn(16, 3, height, 40, generator=torch.Generator().manual_seed(height)) * 50


@torch.no_grad()
def test_beyond_a_few_shapes_the_network_runs_as_it_is(
    tiny: Classifier, compiled_shapes: list[torch.Size], capsys: pytest.CaptureFixture[str]
) -> None:
    forward = whole_batches(tiny)
    heights = [40, 48, 56, 64, 72, 80, 40]
    for height in heights:
        torch.testing.assert_close(
            forward(batch(height), "fp32"), tiny.module(batch(height)), atol=1e-6, rtol=0
        )
    assert compiled_shapes == [batch(height).shape for height in heights[:4]]
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "torch-compile is prepared for 4 shapes" in error
    assert "data.resize=stretch" in error
    assert not forward.failed


@torch.no_grad()
def test_dynamos_own_limit_does_not_end_compiling(
    tiny: Classifier, compiled_shapes: list[torch.Size], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three networks of one kind share Dynamo's count of 8, and are compiled for 4 shapes each."""
    for number in range(3):
        forward = whole_batches(tiny)
        for height in range(4):
            forward(batch(40 + 16 * number + 4 * height), "fp32")
    assert len(compiled_shapes) == 12


@torch.no_grad()
def test_dynamo_is_not_let_to_stop_without_a_word(
    tiny: Classifier,
    compiled_shapes: list[torch.Size],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("adasise_bench.models.backends.torch_compile._RECOMPILE_LIMIT", 2)
    forward = whole_batches(tiny)
    for height in (40, 48, 56):
        forward(batch(height), "fp32")
    assert forward.failed
    assert "torch-compile cannot run it: FailOnRecompileLimitHit" in capsys.readouterr().err


@pytest.mark.parametrize(
    "error", [RuntimeError("no compiler\nlong advice"), ValueError("x"), AssertionError()]
)
def test_a_failing_compiler_is_said_once_and_the_network_runs_without(
    tiny: Classifier,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls = []

    def fail(_inputs: torch.Tensor) -> None:
        calls.append(error)
        raise error

    plant(monkeypatch, fail)
    forward = whole_batches(tiny)
    for _ in range(3):
        assert torch.equal(forward(batch(40), "fp32"), tiny.module(batch(40)))
    assert forward.failed
    assert len(calls) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert type(error).__name__ in said
    assert "advice" not in said


def test_the_networks_own_failure_is_its_own(tiny: Classifier, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("shapes do not fit")

    tiny.module.register_forward_pre_hook(fail)
    plant(monkeypatch, lambda _inputs: None)
    with pytest.raises(RuntimeError, match="shapes"):
        whole_batches(tiny)(batch(40), "fp32")


def test_a_graph_is_recorded_beforehand_and_its_outputs_are_kept(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A CUDA graph writes its outputs into the same memory at every call."""
    memory = torch.zeros(16, 4)
    calls = []

    def replay(inputs: torch.Tensor) -> torch.Tensor:
        calls.append(len(inputs))
        return memory.copy_(tiny.module(inputs))

    monkeypatch.setattr(torch, "compile", lambda _module, **_settings: replay)
    forward = whole_batches(tiny, "torch-compile-graphs")
    one = forward(batch(40), "fp32")
    assert len(calls) == 3 + 1 + 1
    other = forward(batch(40) * 0.5, "fp32")
    assert len(calls) == 3 + 1 + 1 + 1
    assert torch.equal(one, tiny.module(batch(40)))
    assert torch.equal(other, tiny.module(batch(40) * 0.5))


def test_short_of_memory_what_was_compiled_is_given_back(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is compiled takes memory until torch is told to forget it; half the batch is compiled anew."""
    held: set[int] = set()
    history: list[str | int] = []

    def fill(inputs: torch.Tensor) -> None:
        if len(inputs) not in held:
            history.append(len(inputs))
            held.add(len(inputs))
        if sum(held) > 8:
            raise torch.OutOfMemoryError("planted")

    def forget() -> None:
        held.clear()
        history.append("forgotten")

    plant(monkeypatch, fill)
    monkeypatch.setattr(torch.compiler, "reset", forget)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: history.append("emptied"))
    classifier = tiny.with_engine(Engine("contiguous", 16, "torch-compile"))
    maps = [torch.rand(11, 6, 5, generator=torch.Generator().manual_seed(1))]
    got = score_masks(classifier, image, maps)[0].scores
    assert history == [16, "forgotten", "emptied", 8]
    assert classifier.backend is not None
    assert not classifier.backend.failed
    torch.testing.assert_close(got, score_masks(tiny, image, maps)[0].scores, atol=1e-6, rtol=0)


def test_compiled_scores_are_the_networks(
    tiny: Classifier, image: torch.Tensor, compiled_shapes: list[torch.Size]
) -> None:
    classifier = tiny.with_engine(Engine("channels_last", 16, "torch-compile"))
    inputs = classifier.empty_batch(image).copy_(batch(48))
    expected = tiny.scores(inputs)
    torch.testing.assert_close(classifier.scores(inputs), expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(classifier.scores(inputs), expected, atol=1e-6, rtol=0)
    assert compiled_shapes == [inputs.shape]


def test_the_compiler_is_asked_for_one_shape_in_the_engines_mode(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(torch, "compile", lambda _module, **settings: asked.append(settings))
    tiny.with_engine(Engine("contiguous", 4, "torch-compile-graphs"))
    tiny.with_engine(Engine("contiguous", 4))
    assert asked == [{"mode": "reduce-overhead", "dynamic": False}]


@torch.no_grad()
@pytest.mark.parametrize(("quick", "expected"), [(True, ["fp32", "bf16"]), (False, ["bf16"])])
def test_a_slow_compiler_is_asked_once_and_a_quick_one_for_fp32_too(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch, quick: bool, expected: list[str]
) -> None:
    """What passes in fp32 in a run in bf16 is a sample of the masks, and sometimes all masks of a map."""
    kind = BACKENDS["torch-compile"]
    prepared = []

    def prepare(self: Any, inputs: torch.Tensor, precision: PrecisionName) -> Callable[..., torch.Tensor]:
        prepared.append(precision)
        return Torch(self._module, self._device).in_precision(precision)

    monkeypatch.setattr(kind, "quick", quick)
    monkeypatch.setattr(kind, "prepare", prepare)
    forward, by_torch = whole_batches(tiny, precision="bf16"), Torch(tiny.module, tiny.device)
    for precision in ("bf16", "fp32", "bf16"):
        found = forward(batch(40), precision)  # type: ignore[arg-type]
        assert torch.equal(found, by_torch.in_precision(precision)(batch(40)))  # type: ignore[arg-type]
    assert prepared == expected
    assert not forward.failed


@torch.no_grad()
def test_what_is_compiled_in_bf16_is_held_against_torch_in_bf16(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice the outputs are no rounding, though bf16 rounds a thousand times as much as fp32."""
    monkeypatch.setattr(torch, "compile", lambda module, **_settings: lambda inputs: 2 * module(inputs))
    forward = whole_batches(tiny, precision="bf16")
    expected = Torch(tiny.module, tiny.device).in_precision("bf16")(batch(40))
    assert torch.equal(forward(batch(40), "bf16"), expected)
    assert forward.failed
    assert "its outputs differ from torch's" in capsys.readouterr().err


@torch.no_grad()
def test_torch_is_asked_for_a_part_of_the_batch_at_a_time(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its layer outputs for a whole batch would add to what the backend holds."""
    monkeypatch.setattr(torch, "compile", lambda module, **_settings: module.forward)
    forward, sizes = whole_batches(tiny), list[int]()
    tiny.module.register_forward_pre_hook(lambda _module, given: sizes.append(len(given[0])))
    assert torch.equal(forward(batch(40), "fp32"), tiny.module.forward(batch(40)))
    assert sizes == [2] * 8
    assert not forward.failed
