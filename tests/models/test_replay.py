"""Repeated steps: captured where that pays and works, called plainly otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch
from recorded_graph import capture
from torch import nn

from adasise_bench.models import replay
from adasise_bench.models.replay import RepeatedSteps, is_capturable

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(replay, "side_stream", lambda _device: nullcontext())
    monkeypatch.setattr(replay, "capture", capture)
    monkeypatch.setattr(RepeatedSteps, "_given_up", False)
    replay._tell.cache_clear()
    yield
    replay._tell.cache_clear()


class Counting:
    """Two steps on one tensor, whose plain calls are counted."""

    def __init__(self) -> None:
        self.value = torch.ones(2, dtype=torch.float64)
        self.called: list[str] = []

    def double(self) -> None:
        self.called.append("double")
        self.value.mul_(2)

    def add(self) -> None:
        self.called.append("add")
        self.value.add_((self.value * 0 + 3).sqrt())


@pytest.mark.parametrize(
    ("total", "capturable", "called"), [(60, True, 6), (60, False, 60), (49, True, 49), (50, True, 6)]
)
def test_steps_are_replayed_in_turn_where_that_pays(total: int, capturable: bool, called: int) -> None:
    plain, got = Counting(), Counting()
    repeated = RepeatedSteps([got.double, got.add], total, capturable, CPU)
    for number in range(total):
        (plain.double, plain.add)[number % 2]()
        repeated()
        assert torch.equal(got.value, plain.value)
    assert len(got.called) == called


@pytest.mark.parametrize("failure", [RuntimeError("not permitted\nwhen capturing"), ValueError("x")])
def test_steps_that_cannot_be_captured_are_called(
    failure: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*_arguments: object) -> None:
        raise failure

    monkeypatch.setattr(replay, "capture", failing)
    for _ in range(2):
        plain, got = Counting(), Counting()
        repeated = RepeatedSteps([got.double], 40, True, CPU)
        for _ in range(40):
            plain.double()
            repeated()
        assert got.called == plain.called
        assert torch.equal(got.value, plain.value)
    (line,) = capsys.readouterr().err.splitlines()
    reason = " ".join(str(failure).split())
    assert line == (
        f"steps are launched kernel by kernel, not as a CUDA graph: {type(failure).__name__}: {reason}"
    )


@pytest.mark.parametrize(("failure", "tried"), [(RuntimeError("no"), 1), (torch.OutOfMemoryError("full"), 2)])
def test_after_a_failed_capture_none_is_tried_unless_memory_ran_out(
    failure: Exception, tried: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts: list[object] = []

    def failing(*arguments: object) -> None:
        attempts.append(arguments)
        raise failure

    def emptied() -> None:  # what torch 2.8 does after a capture that failed
        raise RuntimeError("captures_underway.empty() INTERNAL ASSERT FAILED")

    monkeypatch.setattr(replay, "capture", failing)
    monkeypatch.setattr(torch.cuda, "empty_cache", emptied)
    for _ in range(2):
        got = Counting()
        repeated = RepeatedSteps([got.double], 40, True, CPU)
        for _ in range(40):
            repeated()
        assert got.value[0] == 2.0**40
    assert len(attempts) == tried


class Waiting(Counting):
    """Says as torch does, in its debug mode, that the host waits in some calls."""

    def __init__(self, waiting: set[int], modes: list[object]) -> None:
        super().__init__()
        self._waiting, self._modes = waiting, modes

    def double(self) -> None:
        if len(self.called) in self._waiting and self._modes[-1:] == ["warn"]:
            warnings.warn("called a synchronizing CUDA operation (Triggered internally)", stacklevel=1)
        super().double()


@pytest.mark.parametrize(("waiting", "called"), [({0}, 3), ({1}, 40), (set(range(40)), 40)])
def test_steps_in_which_the_host_waits_are_not_captured(
    waiting: set[int], called: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    modes: list[object] = []
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    got = Waiting(waiting, modes)
    repeated = RepeatedSteps([got.double], 40, True, torch.device("cuda", 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(40):
            repeated()
    assert len(got.called) == called
    assert got.value[0] == 2.0**40
    assert modes == ["warn", 0] * 2
    said = capsys.readouterr().err
    assert ("the host waits for the GPU" in said) == (called == 40)
    assert not RepeatedSteps._given_up


def test_other_warnings_of_a_step_are_given_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: 0)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda _mode: None)
    with pytest.warns(UserWarning, match="another"), replay.host_waits(torch.device("cuda", 0)) as waits:
        warnings.warn("another", stacklevel=1)
    assert not waits


def test_networks_with_hooks_and_those_on_a_cpu_are_not_captured() -> None:
    module, gpu = nn.Sequential(nn.Linear(2, 2), nn.ReLU()), torch.device("cuda", 0)
    assert is_capturable(module, gpu)
    assert not is_capturable(module, CPU)
    hook = module[1].register_forward_hook(lambda *_: None)
    assert not is_capturable(module, gpu)
    hook.remove()
    assert is_capturable(module, gpu)
    module.register_full_backward_hook(lambda *_: None)
    assert not is_capturable(module, gpu)
