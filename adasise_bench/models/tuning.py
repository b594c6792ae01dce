"""Finds the fastest plain forward pass on the machine at hand, by measuring a few."""

from __future__ import annotations

from dataclasses import replace

import torch

from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import LAYOUTS, Engine, LayoutName
from adasise_bench.models.yardstick import batch_seconds

_BATCHES = {"cpu": (8, 16, 32), "cuda": (32, 64, 128, 256, 512)}
_MEASURED_SECONDS = 0.4
_WORTHWHILE = 0.97
_HOPELESS = 1.1


def tune(
    classifier: Classifier,
    image: torch.Tensor,
    *,
    layout: LayoutName | None = None,
    batch_size: int | None = None,
    compile: bool = False,
) -> Engine:
    """Measure what is left open: the layout at the smallest batch, then larger batches until they lose.

    Of the batches, the smallest within 3 % of the fastest is taken.

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
    seconds: dict[Engine, float] = {}
    for name in LAYOUTS if layout is None else (layout,):
        seconds[Engine(name, sizes[0])] = _seconds_per_input(classifier, Engine(name, sizes[0]), image)
    best = min(seconds, key=lambda engine: seconds[engine])
    for size in sizes[1:]:
        engine = replace(best, batch_size=size)
        seconds[engine] = _seconds_per_input(classifier, engine, image)
        if seconds[engine] > _HOPELESS * min(seconds.values()):
            break
    fast_enough = min(seconds.values()) / _WORTHWHILE
    chosen = next(engine for engine, taken in seconds.items() if taken <= fast_enough)
    return replace(chosen, compile=compile)


def _seconds_per_input(classifier: Classifier, engine: Engine, image: torch.Tensor) -> float:
    """The fastest of a few whole batches, after one that is discarded; infinite where memory runs out."""
    try:
        return (
            min(batch_seconds(classifier.with_engine(engine), image, _MEASURED_SECONDS)) / engine.batch_size
        )
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return float("inf")
