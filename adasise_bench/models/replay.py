"""Repeated steps as CUDA graphs: hundreds of kernels by one launch, where launching takes the time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache

import torch
from torch import nn
from tqdm import tqdm

Step = Callable[[], None]

_PLAIN_ROUNDS = 2
_LEAST_ROUNDS = 25
"""Fewer repetitions of all steps do not repay the capture, which costs about as much as a few of them."""


class RepeatedSteps:
    """Does steps in turn, again and again: plainly at first, and replayed from CUDA graphs then.

    A step must read and write tensors that stay where they are, and nothing on the host that changes: a
    replay repeats the kernels of the captured call with its addresses and arguments. The first rounds are
    plain calls, in which libraries choose their kernels and allocate what they keep. A step that cannot be
    captured is called plainly to the end, to the same values.

    Args:
        steps: the steps of one round, in order.
        total: how many steps will be done in all.
        capturable: whether the steps may be captured; see :func:`is_capturable`.
        device: where the steps compute.
    """

    def __init__(self, steps: Sequence[Step], total: int, capturable: bool, device: torch.device) -> None:
        self._steps, self._total, self._device = list(steps), total, device
        self._capture_at = _PLAIN_ROUNDS * len(steps)
        if not capturable or total < _LEAST_ROUNDS * len(steps):
            self._capture_at = total
        self._done = 0

    def __call__(self) -> None:
        """Do the next step."""
        if self._done == self._capture_at:
            self._steps = self._captured()
        step = self._steps[self._done % len(self._steps)]
        if self._done < self._capture_at < self._total:
            with side_stream(self._device):
                step()
        else:
            step()
        self._done += 1

    def _captured(self) -> list[Step]:
        try:
            return capture(self._steps, self._device)
        except Exception as error:  # whatever torch, a driver or a network of the user's cannot do
            tell_once("steps are launched kernel by kernel, not as a CUDA graph", error)
            torch.cuda.empty_cache()
            return self._steps


def is_capturable(module: nn.Module, device: torch.device) -> bool:
    """Whether passes of a network may be captured: on a GPU, and without hooks.

    What a hook does on the host would be done once, while the graph is captured, and in no replay.
    """
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    hooked = any(getattr(part, kind) for part in module.modules() for kind in kinds)
    return device.type == "cuda" and not hooked


def capture(steps: Sequence[Step], device: torch.device) -> list[Step]:
    """Steps that launch a CUDA graph of what each of ``steps`` launches; capturing does not execute them.

    Raises:
        Exception: a step cannot be captured. Nothing has been executed then.
    """
    replays: list[Step] = []
    pool = None
    stream = _side_stream_of(device)
    # If a capture fails, torch.cuda.graph leaves its stream as the current one, which the outer block undoes.
    with torch.cuda.device(device), side_stream(device):
        for step in steps:
            graph = torch.cuda.CUDAGraph()
            # Threads that load pictures may use CUDA meanwhile, which "thread_local" allows.
            with torch.cuda.graph(graph, pool=pool, stream=stream, capture_error_mode="thread_local"):
                step()
            # Graphs may share memory, as they run one after the other and leave nothing in it that another
            # needs: results are in the caller's tensors.
            pool = graph.pool()
            replays.append(graph.replay)
    return replays


@contextmanager
def side_stream(device: torch.device) -> Iterator[None]:
    """Launch what the body does on the stream of captures, in order with what is before and behind it.

    Plain calls there leave cuBLAS the workspace that it needs for this stream, in memory that does not
    belong to a graph.
    """
    stream, before = _side_stream_of(device), torch.cuda.current_stream(device)
    stream.wait_stream(before)
    try:
        with torch.cuda.stream(stream):
            yield
    finally:
        before.wait_stream(stream)


@cache
def _side_stream_of(device: torch.device) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@cache
def _tell(line: str) -> None:
    tqdm.write(line, file=sys.stderr)


def tell_once(consequence: str, error: Exception) -> None:
    """One line, once a process, about something that goes on another way."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    _tell(f"{consequence}: {reason[:150]}")
