"""A run that takes a second, for launchers whose processes see none of a test's patches."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from adasise_bench.records.folder_names import IN_FLIGHT
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Record
from adasise_bench.records.store import RecordStore
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.launchers.chunks import Chunk
from adasise_bench.run.launchers.dispatcher import WorkerPool
from adasise_bench.run.launchers.events import Event, Ready

PICTURES = 12


def settings(**changes: Any) -> RunConfig:
    tree = {
        "data": {"root": "embedded", "input_size": 32},
        "models": {"scenes_vgg": {}},
        "methods": ["sise", "ada_sise"],
        "engine": {"layout": "contiguous", "batch_size": 16},
        "device": "cpu",
        "limit": PICTURES,
    }
    return validate(tree | changes, "scenes")


def values(folder: Path) -> pd.DataFrame:
    """All columns of the finished records but run-times and peaks of memory, which other work moves."""
    records = read_records(folder)
    return records[[column for column in records if not column.startswith(("seconds", "peak_memory"))]]


def assert_same(folder: Path, whole: Path) -> None:
    """The same records in the same order, the same maps to the byte, and no record made twice."""
    pd.testing.assert_frame_equal(values(folder), values(whole), check_exact=True)
    maps = sorted(path.relative_to(whole) for path in whole.rglob("*.npy"))
    assert maps == sorted(path.relative_to(folder) for path in folder.rglob("*.npy"))
    for path in maps:
        assert (folder / path).read_bytes() == (whole / path).read_bytes()
    assert not list(folder.rglob(".*.tmp"))
    lines = (folder / IN_FLIGHT).read_bytes().splitlines()
    assert len(lines) == len(values(whole))


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


PYTHONPATH = os.pathsep.join(filter(None, sys.path))


def usual_signals() -> None:
    """Undo, in a process about to be started, what the tests' own process ignores.

    A shell that starts the tests in the background, and nohup, let them ignore interrupts or hang-ups, and
    processes that they start would inherit that. For ``preexec_fn``.
    """
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)


def after(count: int, monkeypatch: pytest.MonkeyPatch, then: Callable[[], None]) -> None:
    """Do something once when so many records have been written."""
    append, appended = RecordStore.append, [0]

    def appending(store: RecordStore, records: Sequence[Record]) -> None:
        append(store, records)
        before, appended[0] = appended[0], appended[0] + len(records)
        if before < count <= appended[0]:
            then()

    monkeypatch.setattr(RecordStore, "append", appending)


class Patient:
    """A pool that hands nothing out before all its workers are ready, so that all of them work."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool, self._ready = pool, set[int]()
        self._held: list[tuple[int, Chunk]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def give(self, number: int, chunk: Chunk) -> None:
        if len(self._ready) == len(self._pool.devices):
            self._pool.give(number, chunk)
        else:
            self._held.append((number, chunk))

    def events(self) -> Iterator[tuple[int, Event]]:
        for number, event in self._pool.events():
            if isinstance(event, Ready):
                self._ready.add(number)
            yield number, event
        if len(self._ready) == len(self._pool.devices):
            while self._held:
                self._pool.give(*self._held.pop())
