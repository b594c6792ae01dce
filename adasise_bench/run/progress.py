"""Shows how far a run is: on the terminal or in its log, and in a small file for other terminals."""

from __future__ import annotations

import json
import os
import platform
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from adasise_bench.records.folder_names import PROGRESS
from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import write_text_atomically
from adasise_bench.utils.progress_bar import Bar

if TYPE_CHECKING:
    from adasise_bench.records.record import Record
    from adasise_bench.run.launchers import Launcher

_WRITE_EVERY = 5.0
_REMEMBERED = 300.0


class Sample(NamedTuple):
    """How many records had been made since the start at a time, in seconds by a monotonic clock."""

    time: float
    made: int


class Progress:
    """Counts the records of one session; a context manager.

    Args:
        folder: the run folder.
        launcher: knows the workers.
        total: number of planned records.
        todo: number of records that are still to be made.
    """

    def __init__(self, folder: Path, launcher: Launcher, total: int, todo: int) -> None:
        self._path, self._launcher = folder / PROGRESS, launcher
        self._made = 0
        self._samples = deque([Sample(time.monotonic(), 0)])
        self._bar = Bar(total, "record", done=total - todo)

    def __enter__(self) -> Progress:
        """Show that the run has begun."""
        self._write()
        self._bar.__enter__()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Write the last count."""
        self._bar.__exit__()
        self._write()

    def update(self, records: Sequence[Record]) -> None:
        """Count records that have been written."""
        self._made += len(records)
        errors = sum(record.error is not None for record in records)
        self._bar.update(len(records), errors=errors, title=records[-1].model)
        if time.monotonic() - self._samples[-1].time >= _WRITE_EVERY:
            self._write()

    def _write(self) -> None:
        now = time.monotonic()
        self._samples.append(Sample(now, self._made))
        while self._samples[1].time < now - _REMEMBERED:
            self._samples.popleft()
        state = {
            "host": platform.node(),
            "pid": os.getpid(),
            "workers": self._launcher.workers(),
            "samples": list(self._samples),
            "written": time.time(),
        }
        with suppress(OutputError):  # no record depends on it
            write_text_atomically(self._path, json.dumps(state))
