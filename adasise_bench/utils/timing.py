"""Wall-clock time of the phases of an explanation."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def watch_peak_memory(device: torch.device) -> Callable[[], float | None]:
    """Start to watch the device's peak memory; the function returned gives the peak since then.

    The peak is the most memory that tensors took at once, with the run's networks, in 10^6 bytes. It is
    ``None`` on the CPU and on MPS, which do not count it.
    """
    if device.type != "cuda":
        return lambda: None
    torch.cuda.reset_peak_memory_stats(device)
    return lambda: torch.cuda.max_memory_allocated(device) / 1e6


class PhaseClock:
    """Adds up the seconds spent in named phases, in the order synchronise, clock, work, synchronise, clock.

    ``phases`` maps each phase entered so far to its seconds; the times of a phase that is entered twice are
    added.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.phases: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time the body of a ``with`` statement as phase ``name``."""
        synchronize(self.device)
        start = time.perf_counter()
        try:
            yield
        finally:
            synchronize(self.device)
            self.phases[name] = self.phases.get(name, 0.0) + time.perf_counter() - start
