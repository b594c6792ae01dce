"""A small run on drawn scenes under a clock that counts inputs, for the tests of the regression gate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from adasise_bench.models import tuning
from adasise_bench.models.classifier import Classifier
from adasise_bench.run import network
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils import timing

SETTINGS = {
    "name": "gate",
    "data": {"root": "embedded", "input_size": 64},
    "models": {"scenes_vgg": {}},
    "methods": ["sise", "ada_sise"],
    "engine": {"layout": "contiguous", "batch_size": 16},
    "limit": 2,
}


class CountingClock:
    """Stands for ``time``: so many seconds pass with every input of a forward pass, and none otherwise."""

    def __init__(self, seconds_per_input: float = 1e-3) -> None:
        self.now = 0.0
        self.seconds_per_input = seconds_per_input

    def perf_counter(self) -> float:
        return self.now

    def count(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        self.now += self.seconds_per_input * len(inputs[0])


def small_run(folder: Path, patch: pytest.MonkeyPatch, clock: CountingClock | None = None) -> None:
    """Run :data:`SETTINGS` into a folder."""
    clock = clock or CountingClock()
    load = network.load_classifier

    def load_counted(name: str, **settings: Any) -> Classifier:
        classifier = load(name, **settings)
        classifier.module.register_forward_pre_hook(clock.count)
        return classifier

    with patch.context() as inner:
        inner.setattr(network, "load_classifier", load_counted)
        inner.setattr(timing, "time", clock)
        inner.setattr(tuning, "time", clock)
        run(validate(SETTINGS, "test"), folder)
