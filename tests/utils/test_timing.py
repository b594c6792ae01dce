"""The clock's order of events; no test looks at how long anything took."""

from __future__ import annotations

import pytest
import torch

from adasise_bench.utils import timing
from adasise_bench.utils.timing import PhaseClock, watch_peak_memory


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


def test_the_peak_of_a_gpu_counts_from_where_the_watch_began(monkeypatch: pytest.MonkeyPatch) -> None:
    peak = {"bytes": 7e9}
    monkeypatch.setattr(timing.torch.cuda, "reset_peak_memory_stats", lambda _: peak.update(bytes=1e6))
    monkeypatch.setattr(timing.torch.cuda, "max_memory_allocated", lambda _: peak["bytes"])
    peak_memory = watch_peak_memory(torch.device("cuda"))
    peak["bytes"] = 2.5e6
    assert peak_memory() == 2.5


def test_a_cpu_knows_no_peak_of_one_explanation() -> None:
    assert watch_peak_memory(torch.device("cpu"))() is None


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_peak_on_a_gpu_holds_what_was_allocated() -> None:
    device = torch.device("cuda")
    held = torch.cuda.memory_allocated(device)
    peak_memory = watch_peak_memory(device)
    del_me = torch.empty(5_000_000, device=device)
    del del_me
    assert peak_memory() == pytest.approx((held + 20e6) / 1e6, rel=0.1)
