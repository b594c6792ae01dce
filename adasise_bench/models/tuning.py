"""Finds the fastest way to run the scoring pass on this machine, by timing a few.

What is measured is bounded: at most two layouts, five batch sizes, one size more, two sizes with OpenVINO,
and the chosen batch compiled in two modes, each for some 0.4 seconds and two whole batches; then torch and
the fastest other in turns, and three passes with gradients of each, where the run has such passes. What is
expected to end after :data:`_BUDGET` seconds is not begun: larger batches, further sizes with a backend, all
turns but the first, and passes with gradients are left out. Compilers, which are tried only where they are
asked for or in very long runs, take longer; no further one is tried where one took longer than
:data:`_PATIENCE`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import torch

from adasise_bench.models.backends import BACKENDS, CHOICES, usable
from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import LAYOUTS, BackendChoice, BackendName, Engine, LayoutName
from adasise_bench.models.workload import GradientPasses, Workload
from adasise_bench.utils.precision import PrecisionName
from adasise_bench.utils.timing import synchronize

LONG_RUN = 5_000_000
"""Forward passes from which compiling is tried unasked, on a GPU. An estimate, not measured: some 20
minutes of a large GPU, where compiling ResNet-50 in two modes takes about two."""

_BATCHES = {"cpu": (8, 16, 32), "cuda": (32, 64, 128, 256, 512), "mps": (8, 16, 32, 64)}
_MEASURED_SECONDS = 0.4
_MEASURED_BATCHES = 2
"""The fewest whole batches of a measurement, the first of which only warms up."""

_WORTHWHILE = 0.97
_HOPELESS = 1.1
_PATIENCE = 120.0
"""Seconds after which no further backend is tried."""

_BUDGET = 30.0
"""Seconds that choosing may take with what is prepared in seconds."""

_BATCHES_BUDGET = 10.0
"""Seconds of these after which no larger batch is tried with torch: a backend still has to be prepared."""

_SHORT = 20.0
"""Seconds of scoring below which nothing is prepared unasked: that alone takes OpenVINO some three."""

_TURNS = 3
_GRADIENT_TURNS = 2
_GRADIENT_PREPARING = 4
"""How many times as long a backend may take to prepare and check a gradient as a forward pass."""

_SPELL_SECONDS = 0.1


def tune(
    classifier: Classifier,
    image: torch.Tensor,
    *,
    layout: LayoutName | None = None,
    batch_size: int | None = None,
    backends: Sequence[BackendName] = ("torch",),
    workload: Workload | None = None,
) -> Engine:
    """Measure what is left open: layout, batch size and backend, in this order.

    The layout is measured at the smallest batch, with torch, which computes gradients and feature maps in it
    whatever the backend; then come larger batches until they lose. A batch costs its seconds per input
    times :meth:`Workload.padding`: all batches of a run have one fixed size, for a score depends on the size
    by rounding, and the last batch of an explanation is filled up. Of the batches, the smallest within 3 % of
    the cheapest is taken, or an even split of the largest count into batches of about that size, where this
    passes 3 % fewer inputs and is as fast.

    A backend costs the workload's forwards, and the time that preparing it took where torch is a choice too.
    Before one takes torch's place, both are measured again in turns, so that a slow spell of the machine
    falls on both. Passes with gradients are measured then, and count like the forwards. Where time is short,
    their backend is taken to be as many times as fast as in a forward pass.

    Args:
        classifier: the network; its layout may change.
        image: (1, 3, H, W) network input whose size is tuned for.
        layout: fixed layout, if any.
        batch_size: fixed batch size, if any.
        backends: those to choose from; a single one is not measured.
        workload: what will be scored; by default nothing is known.
    """
    workload, deadline = workload or Workload(), time.perf_counter() + _BUDGET
    if layout is None or batch_size is None:
        engine = _fastest_plain(classifier, image, layout, batch_size, workload)
    else:
        engine = Engine(layout, batch_size)
    any_size = batch_size is None
    return _with_backend(classifier, image, engine, backends, workload, deadline, any_size=any_size)


def backends_to_try(
    wanted: BackendChoice, device: torch.device, precision: PrecisionName, workload: Workload
) -> tuple[BackendName, ...]:
    """The backends to choose from.

    Args:
        wanted: the configuration's choice; ``auto``: all that may pay, which compiling does on a GPU in a
            long run.
        device: where the network is.
        precision: arithmetic of the scoring passes.
        workload: what the run will score.

    Raises:
        ConfigError: what is wanted is not installed, or cannot run here.
    """
    found = usable(wanted, device, precision)
    if wanted != "auto" or (device.type == "cuda" and workload.forwards >= LONG_RUN):
        return found
    return tuple(name for name in found if name not in CHOICES["torch-compile"])


def _fastest_plain(
    classifier: Classifier,
    image: torch.Tensor,
    layout: LayoutName | None,
    batch_size: int | None,
    workload: Workload,
) -> Engine:
    if classifier.precision == "int8":  # which torch does not know; gradients and feature maps are in fp32
        classifier = replace(classifier, precision="fp32")
    sizes = _BATCHES[classifier.device.type] if batch_size is None else (batch_size,)
    seconds: dict[Engine, float] = {}
    deadline = time.perf_counter() + _BATCHES_BUDGET
    for name in LAYOUTS if layout is None else (layout,):
        seconds[Engine(name, sizes[0])] = _seconds_per_input(classifier, Engine(name, sizes[0]), image)
    best = min(seconds, key=lambda engine: seconds[engine])
    for size in sizes[1:]:
        engine = replace(best, batch_size=size)
        if time.perf_counter() + _MEASURED_BATCHES * size * min(seconds.values()) > deadline:
            break
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
    if time.perf_counter() + _MEASURED_BATCHES * even * seconds[chosen] > deadline:
        return chosen
    cost = _seconds_per_input(classifier, split, image) * workload.padding(even)
    return split if cost <= _WORTHWHILE * costs[chosen] else chosen


def _with_backend(
    classifier: Classifier,
    image: torch.Tensor,
    engine: Engine,
    backends: Sequence[BackendName],
    workload: Workload,
    deadline: float,
    *,
    any_size: bool,
) -> Engine:
    """The engine with the cheapest of the backends; with torch where none of them runs.

    Args:
        classifier, image, backends, workload: as in :func:`tune`.
        engine: the fastest with torch.
        deadline: reading of the clock after which nothing is begun that can be left out.
        any_size: whether another batch size may be taken with a backend.
    """
    others = [name for name in backends if name != "torch"]
    torch_too, forwards = len(others) < len(backends), max(1.0, workload.forwards)
    # In int8 every size would be calibrated anew, which takes longer than all else; nothing else can do it.
    sizes_too = any_size and classifier.precision != "int8" and BACKENDS[backends[0]].quick
    if len(backends) == 1 and not sizes_too:
        return replace(engine, backend=backends[0])
    plain = _in_turns(classifier, [engine], image, turns=1, least=0.0)[0] if torch_too else 0.0
    if torch_too and plain * max(1.0, workload.passes) < _SHORT:
        return engine
    best, least, preparing = engine, float("inf"), 0.0
    for name in others:
        start, spent = time.perf_counter(), 0.0
        for size in _sizes_to_try(name, engine, classifier.device, any_size):
            candidate, began = replace(engine, backend=name, batch_size=size), time.perf_counter()
            # The next one takes as long as the one before; and torch and the best are still to be compared.
            if spent and began + 2 * spent > deadline:
                break
            seconds = _seconds_per_input(classifier, candidate, image)
            if seconds == float("inf"):
                break  # what fails, or finds no memory, does so with larger batches as well
            spent = time.perf_counter() - began
            cost = seconds * workload.padding(size) * forwards + (spent if torch_too else 0.0)
            if cost < least:
                best, least, preparing = candidate, cost, spent
        if time.perf_counter() - start > _PATIENCE:
            break
    if not torch_too or best == engine:
        return best
    turn = 2 * _MEASURED_BATCHES * plain * max(engine.batch_size, best.batch_size)
    left = deadline - time.perf_counter() - preparing
    turns = max(1, min(_TURNS, int(left / turn))) if turn else _TURNS
    found = _in_turns(classifier, [engine, best], image, turns)
    in_time = time.perf_counter() + _GRADIENT_PREPARING * preparing < deadline
    differentiated = _gradient_seconds(classifier, [engine, best], image, workload, found, measure=in_time)
    ours, theirs = (
        seconds * workload.padding(one.batch_size) * forwards + gradients
        for one, seconds, gradients in zip((engine, best), found, differentiated, strict=True)
    )
    return best if theirs + preparing < _WORTHWHILE * ours else engine


def _sizes_to_try(name: BackendName, engine: Engine, device: torch.device, any_size: bool) -> Sequence[int]:
    """Batch sizes to measure a backend with: the engine's and, where that is quick, the smallest."""
    if any_size and BACKENDS[name].quick:
        return sorted({engine.batch_size, _BATCHES[device.type][0]})
    return [engine.batch_size]


def _seconds_per_input(classifier: Classifier, engine: Engine, image: torch.Tensor) -> float:
    """Seconds per input of the fastest of a few whole batches; the first batch does not count.

    Infinite where memory runs out or the backend fails.
    """
    return _in_turns(classifier, [engine], image, turns=1, least=_MEASURED_SECONDS)[0]


def _in_turns(
    classifier: Classifier,
    engines: Sequence[Engine],
    image: torch.Tensor,
    turns: int = _TURNS,
    least: float = _SPELL_SECONDS,
) -> list[float]:
    """Seconds per input of each engine: the median over the turns of the fastest batch.

    Infinite for all where memory runs out, and for one whose backend fails.
    """
    candidates = [classifier.with_engine(engine) for engine in engines]
    seconds: list[list[float]] = [[] for _ in engines]
    try:
        for _ in range(turns):
            for found, candidate in zip(seconds, candidates, strict=True):
                found.append(min(batch_seconds(candidate, image, least)) / candidate.engine.batch_size)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return [float("inf")] * len(engines)
    finally:
        for candidate in candidates:
            candidate.release()
    return [
        float("inf") if candidate.backend is not None and candidate.backend.failed else median(found)
        for found, candidate in zip(seconds, candidates, strict=True)
    ]


def _gradient_seconds(
    classifier: Classifier,
    engines: Sequence[Engine],
    image: torch.Tensor,
    workload: Workload,
    forward_seconds: Sequence[float],
    *,
    measure: bool,
) -> list[float]:
    """Seconds that all passes with gradients of a run take by each engine, and preparing them.

    Infinite for all where a pass fails, as when memory runs out; 0 where they would be torch's with all.

    Args:
        classifier, image, workload: as in :func:`tune`.
        engines: they differ in backend and batch size only.
        forward_seconds: of each engine, per input, from which the rest follows where nothing is measured.
        measure: whether there is time for it.
    """
    if not workload.gradients or not any(BACKENDS[engine.backend].differentiates for engine in engines):
        return [0.0] * len(engines)
    if not measure:
        return [seconds * (workload.passes - workload.forwards) for seconds in forward_seconds]
    candidates, total = [classifier.with_engine(engine) for engine in engines], [0.0] * len(engines)
    try:
        for passes in workload.gradients:
            count = workload.explanations * passes.inputs / passes.at_once
            turns = [
                [_pass_seconds(candidate, passes, image) for candidate in candidates]
                for _ in range(1 + _GRADIENT_TURNS)
            ]
            for number, (first, *others) in enumerate(zip(*turns, strict=True)):
                total[number] += first + (count - 1) * min(others)
    except Exception:  # a network of the user's own can fail in any way; its explanations will say so
        return [float("inf")] * len(engines)
    finally:
        for candidate in candidates:
            candidate.release()
    return total


def _pass_seconds(classifier: Classifier, passes: GradientPasses, image: torch.Tensor) -> float:
    """Seconds of one pass with gradients; the first one is prepared in them."""
    arguments = passes.example(image)
    synchronize(classifier.device)
    start = time.perf_counter()
    classifier.input_gradient(*arguments)
    synchronize(classifier.device)
    return time.perf_counter() - start


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
