"""Repeats steps as CUDA graphs, which launch hundreds of kernels at once where launching takes the time."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import ClassVar

import torch
from torch import nn
from tqdm import tqdm

Step = Callable[[], None]

_PLAIN_ROUNDS = 2
_LEAST_ROUNDS = 25
"""With fewer rounds the capture does not pay: it takes about as long as a few of them."""

_WAIT = "called a synchronizing CUDA operation"
"""The text of torch's warning, in its debug mode for synchronisation, where the host waits for a GPU."""


class RepeatedSteps:
    """Does the steps of a round in turn, again and again: by plain calls at first, then from CUDA graphs.

    A step must read and write tensors that stay at the same address, and nothing on the host that changes: a
    replay repeats the kernels of the captured call with the same addresses and arguments. The first rounds
    are plain calls, in which libraries choose their kernels and allocate the memory that they keep. A step
    that cannot be captured is always called plainly, and gives the same values.

    Steps in which the host waits for the GPU are recognised in the last plain round, and are not captured. Up
    to torch 2.12 a capture that fails can leave the allocator in a state in which its cache cannot be
    emptied. After any other failure, no further capture is tried in this process. Only a lack of memory
    leaves nothing behind, so that later captures are tried again.

    Args:
        steps: the steps of one round, in order.
        total: number of steps in all rounds together.
        capturable: whether the steps may be captured; see :func:`is_capturable`.
        device: where the steps compute.
    """

    _given_up: ClassVar[bool] = False

    def __init__(self, steps: Sequence[Step], total: int, capturable: bool, device: torch.device) -> None:
        self._steps, self._total, self._device = list(steps), total, device
        self._capture_at = _PLAIN_ROUNDS * len(steps)
        if not capturable or self._given_up or total < _LEAST_ROUNDS * len(steps):
            self._capture_at = total
        self._done = 0
        self._waits = False

    def __call__(self) -> None:
        """Do the next step."""
        if self._done == self._capture_at:
            self._steps = self._captured()
        step = self._steps[self._done % len(self._steps)]
        if self._done < self._capture_at < self._total:
            self._rehearse(step)
        else:
            step()
        self._done += 1

    def _rehearse(self, step: Step) -> None:
        """Do a step by a plain call on the capture's stream, and note in the last round if the host waits."""
        with side_stream(self._device), host_waits(self._device) as waits:
            step()
        if self._done >= self._capture_at - len(self._steps):
            self._waits |= bool(waits)

    def _captured(self) -> list[Step]:
        try:
            if self._waits:
                raise HostWaitError("the host waits for the GPU within a step")
            return capture(self._steps, self._device)
        except Exception as error:  # torch, a driver or a user's own network can fail in any way
            if not isinstance(error, HostWaitError | torch.OutOfMemoryError):
                RepeatedSteps._given_up = True
            tell_once("steps are launched kernel by kernel, not as a CUDA graph", error)
            return self._steps


class HostWaitError(RuntimeError):
    """A step reads a value from the GPU, which no CUDA graph can do."""


def is_capturable(module: nn.Module, device: torch.device) -> bool:
    """Whether passes of a network may be captured: on a GPU, and without hooks.

    A hook would run once, while the graph is captured, but in no replay.
    """
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooked = any(getattr(part, kind) for part in module.modules() for kind in kinds)
    return device.type == "cuda" and not hooked


def capture(steps: Sequence[Step], device: torch.device) -> list[Step]:
    """Capture each step as a CUDA graph, and return functions that launch the graphs.

    Capturing does not execute the steps.

    Raises:
        Exception: a step cannot be captured. Nothing has been executed then.
    """
    replays: list[Step] = []
    pool = None
    stream = _side_stream_of(device)
    # If a capture fails, torch.cuda.graph does not switch back to the earlier stream; the outer block does.
    with torch.cuda.device(device), side_stream(device):
        for step in steps:
            graph = torch.cuda.CUDAGraph()
            # "thread_local" lets other threads, which load pictures, use CUDA meanwhile.
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                step()
            # Graphs may share memory: they run one after the other, and their results are in the caller's
            # tensors, so that none needs what another left behind.
            pool = graph.pool()
            replays.append(graph.replay)
    return replays


@contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Launch the work of a ``with`` block on the stream of captures; earlier and later work stays in order.

    cuBLAS needs a workspace for each stream. Plain calls allocate it beforehand, in memory that does not
    belong to a graph.
    """
    stream, before = _side_stream_of(device), torch.cuda.current_stream(device)
    stream.wait_stream(before)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        before.wait_stream(stream)


@contextmanager
def host_waits(device: torch.device) -> Iterator[list[str]]:
    """Collect torch's warnings of host waits in a ``with`` block. Other warnings are shown when it has ended.

    Args:
        device: where the work is done. Nothing is collected unless it is a GPU.
    """
    waits: list[str] = []
    if device.type != "cuda":
        yield waits
        return
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waits
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    for one in caught:
        if _WAIT in str(one.message):
            waits.append(str(one.message))
        elif "debug mode" not in str(one.message):  # torch says once that the mode is a prototype
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


@cache
def _side_stream_of(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@cache
def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


def tell_once(consequence: str, error: Exception) -> None:
    """Print one line, once in a process, about an error after which the work goes on in another way."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    _tell(f"{consequence}: {reason[:150]}")
