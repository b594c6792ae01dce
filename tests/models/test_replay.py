"""Repeated steps: captured where that pays and works, called plainly otherwise."""

from __future__ import annotations

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
