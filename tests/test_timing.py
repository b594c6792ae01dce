"""The clock's order of events; no test looks at how long anything took."""

from __future__ import annotations

import pytest
import torch

from adasise_bench import timing
from adasise_bench.timing import PhaseClock


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    log: list[str] = []

    def clock() -> float:
        log.append("clock")
        return float(len(log))

    monkeypatch.setattr(timing.time, "perf_counter", clock)
    monkeypatch.setattr(timing.torch.cuda, "synchronize", lambda device: log.append("synchronize"))
    return log


def test_order_on_a_gpu(events: list[str]) -> None:
    clock = PhaseClock(torch.device("cuda"))
    with clock.phase("scoring"):
        events.append("work")
    assert events == ["synchronize", "clock", "work", "synchronize", "clock"]
    assert clock.phases == {"scoring": 3}


def test_a_cpu_needs_no_synchronising_and_phases_add_up(events: list[str]) -> None:
    clock = PhaseClock(torch.device("cpu"))
    for _ in range(2):
        with clock.phase("scoring"):
            pass
    assert events == ["clock"] * 4
    assert clock.phases == {"scoring": 2}


def test_a_phase_that_fails_is_still_timed(events: list[str]) -> None:
    clock = PhaseClock(torch.device("cpu"))
    with pytest.raises(ValueError, match="x"), clock.phase("scoring"):
        raise ValueError("x")
    assert "scoring" in clock.phases
