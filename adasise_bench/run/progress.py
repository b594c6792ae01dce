"""Shows how far a run is: in a bar on the terminal, and in a small file for other terminals.

The bar is tqdm's rather than rich's: with ``tqdm.write`` any module can put a line above a bar that it does
not know.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tqdm import tqdm

from adasise_bench.records.folder_names import PROGRESS
from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import write_text_atomically

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
        self._errors = self._made = 0
        self._samples = deque([Sample(time.monotonic(), 0)])
        self._bar = tqdm(total=total, initial=total - todo, unit="map", disable=None, file=sys.stderr)

    def __enter__(self) -> Progress:
        """Show that the run has begun."""
        self._write()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Write the last count."""
        self._bar.close()
        self._write()

    def update(self, records: Sequence[Record]) -> None:
        """Count records that have been written."""
        self._made += len(records)
        self._errors += sum(record.error is not None for record in records)
        if self._errors:
            self._bar.set_postfix(errors=self._errors, refresh=False)
        self._bar.set_description(records[-1].model, refresh=False)
        self._bar.update(len(records))
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
