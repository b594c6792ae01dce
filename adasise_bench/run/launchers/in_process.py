"""Runs the only worker of a run in this process."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adasise_bench.models.engine import Engine
from adasise_bench.models.lost_device import named_if_lost
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.record import Record
from adasise_bench.run.config import RunConfig
from adasise_bench.run.plan import Plan
from adasise_bench.run.worker import Worker
from adasise_bench.utils.devices import pick_device


class InProcess:
    """Makes all records in this process, model by model.

    Args:
        config: the run.
        folder: the run folder.

    Raises:
        DeviceError: no such device.
    """

    def __init__(self, config: RunConfig, folder: Path) -> None:
        self._config, self._folder = config, folder.absolute()
        self._device = pick_device(config.device)
        self._made = 0

    def __enter__(self) -> InProcess:
        """Do nothing yet."""
        return self

    def open(self, plan: Plan) -> None:
        """Load the networks."""
        with named_if_lost(self._device):
            pictures = len(plan.annotations)
            self._worker = Worker(self._config, self._device, self._folder, plan.dataset, pictures)

    def __exit__(self, *_exception: object) -> None:
        """Do nothing, because nothing has to be stopped."""

    def prepare(self, engines: Mapping[str, Engine]) -> dict[str, Any]:
        """Choose how the networks are run."""
        with named_if_lost(self._device):
            return self._worker.prepare(engines) | {"devices": [str(self._device)]}

    def records(self, plan: Plan, todo: KeySet, digests: Mapping[str, str]) -> Iterator[list[Record]]:
        """The records in ``todo``, in the plan's order unless forward passes are shared."""
        with named_if_lost(self._device):
            for model in self._config.models:
                for records in self._worker.records(plan, model, todo, digests):
                    self._made += len(records)
                    yield records

    def workers(self) -> list[dict[str, Any]]:
        """This process."""
        place = str(self._device)
        return [{"number": 0, "place": place, "state": "busy", "pid": os.getpid(), "made": self._made}]
