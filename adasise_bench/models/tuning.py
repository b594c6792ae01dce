"""Finds the fastest plain forward pass on the machine at hand, by measuring a few."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch

from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import LAYOUTS, Engine, LayoutName
from adasise_bench.timing import synchronize

_BATCHES = {"cpu": (4, 8, 16, 32), "cuda": (32, 64, 128, 256, 512)}
_REPEATS = {"cpu": 1, "cuda": 5}
_WORTHWHILE = 0.97


def tune(
    classifier: Classifier,
    image: torch.Tensor,
    *,
    layout: LayoutName | None = None,
    batch_size: int | None = None,
    compile: bool = False,
) -> Engine:
    """Measure what is left open: the layout at the smallest batch, then batches as long as they gain 3 %.

    Args:
        classifier: the network; its layout may change.
        image: (1, 3, H, W) network input whose size is tuned for.
        layout: fixed layout, if any.
        batch_size: fixed batch size, if any.
        compile: taken over; compiling takes too long to try it out.
    """
    if layout is not None and batch_size is not None:
        return Engine(layout, batch_size, compile)
    sizes = _BATCHES[classifier.device.type] if batch_size is None else (batch_size,)
    seconds = {}
    for name in LAYOUTS if layout is None else (layout,):
        seconds[Engine(name, sizes[0])] = _seconds_per_input(classifier, Engine(name, sizes[0]), image)
    best = min(seconds, key=lambda engine: seconds[engine])
    return replace(_grown(classifier, image, best, seconds[best], sizes[1:]), compile=compile)


def _grown(
    classifier: Classifier, image: torch.Tensor, best: Engine, seconds: float, sizes: Sequence[int]
) -> Engine:
    for size in sizes:
        engine = replace(best, batch_size=size)
        larger = _seconds_per_input(classifier, engine, image)
        if not larger < _WORTHWHILE * seconds:
            return best
        best, seconds = engine, larger
    return best


def _seconds_per_input(classifier: Classifier, engine: Engine, image: torch.Tensor) -> float:
    """The fastest of a few whole batches, after one that is discarded; infinite where memory runs out."""
    try:
        return min(_batch_seconds(classifier.with_engine(engine), image)) / engine.batch_size
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return float("inf")


def _batch_seconds(classifier: Classifier, image: torch.Tensor) -> list[float]:
    inputs = classifier.empty_batch(image).copy_(image)
    seconds = []
    for _ in range(_REPEATS[classifier.device.type] + 1):
        synchronize(classifier.device)
        start = time.perf_counter()
        classifier.scores(inputs)
        synchronize(classifier.device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]
