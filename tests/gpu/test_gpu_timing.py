"""A GPU works on while Python goes ahead: clocks are read when it is done, and not before."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
import torch

from adasise_bench.utils.timing import PhaseClock, watch_peak_memory

pytestmark = pytest.mark.gpu


@pytest.fixture
def work(cuda: torch.device) -> Callable[[], None]:
    """Matrix products that take far longer than to ask for them."""
    square = torch.rand(2048, 2048, device=cuda)

    def multiply() -> None:
        for _ in range(20):
            torch.mm(square, square)

    multiply()
    return multiply


def alone(work: Callable[[], None], device: torch.device) -> float:
    torch.cuda.synchronize(device)
    start = time.perf_counter()
    work()
    torch.cuda.synchronize(device)
    return time.perf_counter() - start


def test_a_phase_counts_what_was_asked_for_in_it(cuda: torch.device, work: Callable[[], None]) -> None:
    expected, clock = alone(work, cuda), PhaseClock(cuda)
    with clock.phase("work"):
        work()
    assert clock.phases["work"] > expected / 2


def test_a_phase_does_not_count_what_was_asked_for_before(
    cuda: torch.device, work: Callable[[], None]
) -> None:
    expected, clock = alone(work, cuda), PhaseClock(cuda)
    work()
    with clock.phase("nothing"):
        pass
    assert clock.phases["nothing"] < expected / 2


def test_peak_memory_is_of_the_work_since(cuda: torch.device) -> None:
    torch.empty(64_000_000, dtype=torch.uint8, device=cuda)
    peak = watch_peak_memory(cuda)
    torch.empty(8_000_000, dtype=torch.uint8, device=cuda)
    found = peak()
    assert found is not None
    held = torch.cuda.memory_allocated(cuda) / 1e6
    assert held + 8 <= found < held + 32
