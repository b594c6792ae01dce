"""A worker in a process of its own, on any machine, which takes chunks and answers with events."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from adasise_bench.data import open_dataset
from adasise_bench.models.engine import Engine
from adasise_bench.models.lost_device import loss_of
from adasise_bench.records.folder_names import LOCK, LOGS
from adasise_bench.records.record import Record
from adasise_bench.run.config import RunConfig
from adasise_bench.run.launchers.chunks import Chunk
from adasise_bench.run.launchers.events import Died, Done, Event, Failed, Made, Ready
from adasise_bench.run.plan import Plan
from adasise_bench.run.worker import Worker
from adasise_bench.utils.determinism import deterministic
from adasise_bench.utils.devices import pick_device
from adasise_bench.utils.errors import BenchError, CrashError, OutputError
from adasise_bench.utils.files import open_to_append

TOGETHER = 0.1
"""Seconds within which records are sent together, because each message costs the driver time."""


def log_path(folder: Path, number: int) -> Path:
    """The file that gets a worker's warnings and everything else that it prints."""
    return folder / LOGS / f"worker-{number}.log"


@dataclass(frozen=True)
class Assignment:
    """What a new worker needs to know.

    Attributes:
        number: the worker's number, from 0.
        config: the run.
        folder: the run folder, absolute.
        directory: where relative paths of the configuration start.
        device: as in a configuration.
        threads: number of torch's CPU threads; equal values need equal numbers.
        engines: how to run each model; for models that are missing, the fastest way is measured.
        pictures: number of pictures of the run; ``None``: too few to measure much for.
    """

    number: int
    config: RunConfig
    folder: Path
    directory: Path
    device: str
    threads: int
    engines: dict[str, Engine]
    pictures: int | None = None


class Service:
    """The worker's side of a launcher; every error becomes an event."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._device = torch.device("cpu")  # until the real one is known

    def begin(self) -> Event:
        """Load the networks and open the data."""
        try:
            return self._begin()
        except Exception as error:
            return self._failed(error)

    def _begin(self) -> Ready:
        told = self._assignment
        if not (told.folder / LOCK).exists() or not told.directory.is_dir():
            raise OutputError(
                f"{platform.node()}: does not see {told.folder} and {told.directory}; "
                "every machine needs them on a shared file system"
            )
        os.chdir(told.directory)
        _write_into(log_path(told.folder, told.number))
        torch.set_num_threads(told.threads)
        self._device = pick_device(told.device)
        if self._device.type == "cuda":
            torch.cuda.set_device(self._device)
        self._stack = ExitStack()
        self._stack.enter_context(deterministic(told.config.deterministic))
        self._dataset = open_dataset(told.config.data, look_for_empty=False)
        self._worker = Worker(told.config, self._device, told.folder, self._dataset, told.pictures)
        return Ready(self._worker.prepare(told.engines), f"{platform.node()} {self._device}", os.getpid())

    def make(self, chunk: Chunk) -> Iterator[Event]:
        """Make a chunk's records."""
        try:
            plan = Plan(self._assignment.config, self._dataset, chunk.annotations)
            yield from in_groups(self._worker.records(plan, chunk.model, chunk.keys, chunk.digests))
        except Exception as error:
            yield self._failed(error)

    def _failed(self, error: Exception) -> Failed | Died:
        """The event of an error; if a worker has lost its device, another may be able to continue."""
        if isinstance(error, BenchError):
            return Failed(error)
        traceback.print_exc()
        if (reason := loss_of(self._device, error)) is not None:
            return Died(f"lost {self._device} ({reason})")
        log = log_path(self._assignment.folder, self._assignment.number)
        return Failed(CrashError(f"{type(error).__name__}: {error}", log))


def in_groups(made: Iterable[list[Record]]) -> Iterator[Event]:
    """The events of a chunk, with the records of quick explanations sent together.

    A record that is held back was made within :data:`TOGETHER` seconds after the one before was sent. If the
    worker dies, no more work than that is lost.
    """
    held: list[Record] = []
    sent = time.monotonic()
    for records in made:
        held += records
        if time.monotonic() - sent >= TOGETHER:
            yield Made(held)
            held, sent = [], time.monotonic()
    yield Done(held)


def _write_into(log: Path) -> None:
    """Send the output of this process and of its libraries to a file."""
    log.parent.mkdir(exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    file = open_to_append(log)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.close(file)
