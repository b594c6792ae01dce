"""Finds the fastest way to run the scoring pass on this machine, by timing a few.

The time that this takes is limited. At most two layouts, five batch sizes, one further size, and the chosen
batch without compiling and in two modes of compiling are timed, each for about 0.4 seconds and two whole
batches. Compiling itself comes on top. The second mode is left out if the first took longer than
:data:`_PATIENCE`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import (
    CPU_MODES,
    GPU_MODES,
    LAYOUTS,
    CompileChoice,
    CompileMode,
    Engine,
    LayoutName,
)
from adasise_bench.models.workload import Workload
from adasise_bench.utils.timing import synchronize

LONG_RUN = 5_000_000
"""Forward passes from which compiling is tried unasked. An estimate, for no GPU was at hand: some 20 minutes
of a large GPU, where compiling ResNet-50 in two modes takes about two."""

_BATCHES = {"cpu": (8, 16, 32), "cuda": (32, 64, 128, 256, 512)}
_MEASURED_SECONDS = 0.4
_WORTHWHILE = 0.97
_HOPELESS = 1.1
_PATIENCE = 120.0
"""Seconds after which no further way of compiling is tried."""


def tune(
    classifier: Classifier,
    image: torch.Tensor,
    *,
    layout: LayoutName | None = None,
    batch_size: int | None = None,
    modes: Sequence[CompileMode] = (False,),
    workload: Workload | None = None,
) -> Engine:
    """Time what is left open: the layout, the batch size, and whether and how to compile, in this order.

    The layout is timed with the smallest batch. Then come larger batches, until one is clearly slower. The
    cost of a batch size is its seconds per input times :meth:`Workload.padding`. (All batches of a run have
    one fixed size, because scores round differently in batches of another size; the last batch of an
    explanation is filled up.) The smallest batch within 3 % of the cheapest is taken. An even split of the
    largest count into batches of about that size is taken instead, where it passes 3 % fewer inputs and is as
    fast.

    The cost of a mode of compiling is the time of the workload's forward passes. The time that compiling took
    is added where the network may also stay as it is.

    Args:
        classifier: the network; its layout may change.
        image: (1, 3, H, W) network input whose size is tuned for.
        layout: the layout, if it is given.
        batch_size: the batch size, if it is given.
        modes: ways of compiling to choose from; if there is only one, it is not timed.
        workload: what the run will score; by default nothing is known about it.
    """
    workload = workload or Workload()
    if layout is None or batch_size is None:
        engine = _fastest_plain(classifier, image, layout, batch_size, workload)
    else:
        engine = Engine(layout, batch_size)
    return replace(engine, compile=_fastest_mode(classifier, image, engine, modes, workload.forwards))


def modes_to_try(wanted: CompileChoice, device: torch.device, workload: Workload) -> tuple[CompileMode, ...]:
    """The ways of compiling to choose from.

    Args:
        wanted: whether to compile; ``auto`` compiles where it may pay, which is in a long run on a GPU.
        device: where the network is.
        workload: what the run will score.
    """
    if wanted is False:
        return (False,)
    if device.type != "cuda":
        return (False,) if wanted == "auto" else CPU_MODES
    if wanted is True:
        return GPU_MODES
    return (False, *GPU_MODES) if workload.forwards >= LONG_RUN else (False,)


def _fastest_plain(
    classifier: Classifier,
    image: torch.Tensor,
    layout: LayoutName | None,
    batch_size: int | None,
    workload: Workload,
) -> Engine:
    sizes = _BATCHES[classifier.device.type] if batch_size is None else (batch_size,)
    seconds: dict[Engine, float] = {}
    for name in LAYOUTS if layout is None else (layout,):
        seconds[Engine(name, sizes[0])] = _seconds_per_input(classifier, Engine(name, sizes[0]), image)
    best = min(seconds, key=lambda engine: seconds[engine])
    for size in sizes[1:]:
        engine = replace(best, batch_size=size)
        seconds[engine] = _seconds_per_input(classifier, engine, image)
        if seconds[engine] > _HOPELESS * min(seconds.values()):
            break
    costs = {engine: taken * workload.padding(engine.batch_size) for engine, taken in seconds.items()}
    chosen = next(engine for engine, cost in costs.items() if cost * _WORTHWHILE <= min(costs.values()))
    if batch_size is not None:
        return chosen
    even = min(workload.even_splits(chosen.batch_size), key=workload.padding, default=chosen.batch_size)
    if workload.padding(even) > _WORTHWHILE * workload.padding(chosen.batch_size):
        return chosen
    split = replace(chosen, batch_size=even)
    cost = _seconds_per_input(classifier, split, image) * workload.padding(even)
    return split if cost <= _WORTHWHILE * costs[chosen] else chosen


def _fastest_mode(
    classifier: Classifier, image: torch.Tensor, engine: Engine, modes: Sequence[CompileMode], forwards: float
) -> CompileMode:
    """The cheapest of the ways; ``False`` where none of them runs."""
    if len(modes) == 1:
        return modes[0]
    costs: dict[CompileMode, float] = {}
    for mode in modes:
        start = time.perf_counter()
        seconds = _seconds_per_input(classifier, replace(engine, compile=mode), image)
        spent = time.perf_counter() - start
        costs[mode] = seconds * max(1.0, forwards) + (spent if mode and False in modes else 0)
        if spent > _PATIENCE:
            break
    best = min(costs, key=lambda mode: costs[mode])
    return best if costs[best] < float("inf") else False


def _seconds_per_input(classifier: Classifier, engine: Engine, image: torch.Tensor) -> float:
    """Seconds per input of the fastest of a few whole batches; the first batch does not count.

    Infinite if memory runs out or the compiler fails.
    """
    candidate = classifier.with_engine(engine)
    try:
        seconds = min(batch_seconds(candidate, image, _MEASURED_SECONDS)) / engine.batch_size
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return float("inf")
    finally:
        if candidate.compiled is not None:
            candidate.compiled.release()
    return float("inf") if candidate.compiled is not None and candidate.compiled.failed else seconds


_SPELL_SECONDS = 0.1


_SHARE = 0.05
"""The share of a run's time that timing the plain forward pass may take."""


def batch_seconds(classifier: Classifier, image: torch.Tensor, least: float) -> list[float]:
    """Seconds of whole batches through the scoring pass. The first batch, which warms up, does not count.

    Args:
        classifier: the network, run as its engine says.
        image: (1, 3, H, W) network input that fills the batch.
        least: how many seconds the batches take together at least; there is one batch or more.
    """
    inputs = classifier.empty_batch(image).copy_(image)
    seconds: list[float] = []
    while len(seconds) < 2 or sum(seconds[1:]) < least:
        synchronize(classifier.device)
        start = time.perf_counter()
        classifier.scores(inputs)
        synchronize(classifier.device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


class Yardstick:
    """The time of a network's plain forward pass, taken again and again between the explanations of a run.

    Each timing needs at least two whole batches. For a ResNet-50 on a CPU this takes about 1.5 seconds:
    little beside an explanation of a minute, but many times as long as one Grad-CAM. The pass is therefore
    timed for the first picture of every size. It is timed again before a picture if all timings so far have
    taken no more than a twentieth of the time since the first one began. Otherwise the last time for that
    size is used.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._known: dict[tuple[torch.Size, int], float] = {}
        self._spent = 0.0
        self._began = float("inf")

    def seconds(self, image: torch.Tensor) -> float:
        """Seconds per input of the plain batched forward pass.

        Args:
            image: (1, 3, H, W) network input that fills the batch.

        Raises:
            DeviceError: a single input does not fit in memory.
        """
        start = time.perf_counter()
        known = self._known.get(self._kind(image))
        if known is not None and self._spent > _SHARE * (start - self._began):
            return known
        self._began = min(self._began, start)
        seconds = plain_forward_seconds(self._classifier, image)
        self._spent += time.perf_counter() - start
        self._known[self._kind(image)] = seconds
        return seconds

    def _kind(self, image: torch.Tensor) -> tuple[torch.Size, int]:
        """What a timing is valid for: the shape of the batch, which changes when memory runs out."""
        return image.shape, self._classifier.batch_size.value


def plain_forward_seconds(classifier: Classifier, image: torch.Tensor) -> float:
    """Seconds per input of the plain batched forward pass, at the present speed of the machine.

    It is the median over the batches of a tenth of a second. When memory runs out, the batch stays halved.

    Args:
        classifier: the network, run as its engine says.
        image: (1, 3, H, W) network input that fills the batch.
    """
    batch = classifier.batch_size
    spell = None
    while spell is None:
        spell = batch.attempt(partial(batch_seconds, classifier, image, _SPELL_SECONDS))
    return median(spell) / batch.value
