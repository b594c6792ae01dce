"""Writes the records of a run: line by line while it runs, and as one Parquet file when it has finished."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adasise_bench.records.finished_file import write_finished
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT
from adasise_bench.records.lines import lines_of
from adasise_bench.records.planned_keys import NOTHING_PLANNED, PlannedKeys
from adasise_bench.records.reading import finished_tables, in_flight, only_finished_is_left, parts_of
from adasise_bench.records.record import SCHEMA, Key, Record, parse_line, to_line
from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import as_output_error, open_to_append, regular, write_atomically

_Item = TypeVar("_Item")

_ABSENT = -1
_ROWS_AT_ONCE = 4_096


class RecordStore:
    """Appends records to a run folder; records that were appended survive if the process is killed.

    Every record is one line of JSON. Lines that are appended together are written by one system call. An
    incomplete last line, which a crash of the machine can leave, is cut off when the store is opened again.
    If only the finished file is left, the lines are first written again from it. For each planned record,
    memory holds only the place of its line (9 bytes).

    Args:
        folder: the run folder.
        planned: the records that the run shall have; others that the folder holds are kept.

    Raises:
        DataError: the folder's records are damaged.
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, planned: PlannedKeys = NOTHING_PLANNED) -> None:
        self._path = folder / IN_FLIGHT
        self._finished = folder / FINISHED
        self._planned = planned
        self._offsets = np.full(len(planned), _ABSENT, np.int64)
        self._failed = np.zeros(len(planned), np.bool_)
        self._others: dict[Key, tuple[int, bool]] = {}
        self._end = 0
        if only_finished_is_left(folder):
            write_atomically(self._path, self._write_lines)
        for end, record in in_flight(self._path):
            self._note(record, self._end)
            self._end = end
        with as_output_error(self._path):
            self._file = open_to_append(self._path)
            if not writes_alone(self._file):
                os.close(self._file)
                raise OutputError(
                    f"{folder}: another run is writing here; wait for it, or use another --output"
                )
            os.ftruncate(self._file, self._end)

    @property
    def explained(self) -> NDArray[np.bool_]:
        """Which planned keys have a record that is not an error, (keys,) bool."""
        explained: NDArray[np.bool_] = (self._offsets != _ABSENT) & ~self._failed
        return explained

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which planned keys have no record at all, not even an error, (keys,) bool."""
        missing: NDArray[np.bool_] = self._offsets == _ABSENT
        return missing

    @property
    def errors(self) -> int:
        """How many planned keys have a record that is an error."""
        return int(self._failed.sum())

    def __contains__(self, key: object) -> bool:
        """Whether there is a record with this key, which may be an error."""
        return isinstance(key, Key) and self._place(key)[0] != _ABSENT

    def append(self, records: Iterable[Record]) -> None:
        """Write records and wait until they are on the disk.

        Raises:
            OutputError: the disk is full or gone; everything appended before is kept.
        """
        new = [(record, to_line(record)) for record in records]
        text = b"".join(line for _, line in new)
        with as_output_error(self._path):
            self._remove_finished()
            try:
                if os.write(self._file, text) != len(text):
                    raise OSError(28, "No space left on device")
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, self._end)
                raise
        for record, line in new:
            self._note(record, self._end)
            self._end += len(line)

    def finish(self) -> None:
        """Write the records as the run's Parquet file, the planned ones first and in their order.

        The others follow, except for errors of planned pictures that no longer have them.

        Raises:
            OutputError: the file cannot be written.
        """
        if self._finished.is_dir():
            with as_output_error(self._finished):
                self._remove_finished()
        write_atomically(self._finished, self._write_parquet)

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)

    def _note(self, record: Record, offset: int) -> None:
        position, failed = self._planned.position(record.key), record.error is not None
        if position is None:
            self._others[record.key] = offset, failed
        else:
            self._offsets[position], self._failed[position] = offset, failed

    def _place(self, key: Key) -> tuple[int, bool]:
        position = self._planned.position(key)
        if position is None:
            return self._others.get(key, (_ABSENT, False))
        return int(self._offsets[position]), bool(self._failed[position])

    def _finished_offsets(self) -> Iterator[int]:
        yield from map(int, self._offsets[self._offsets != _ABSENT])
        for key, (offset, failed) in self._others.items():
            if not failed or not self._planned.has_image(key.image_id):
                yield offset

    def _remove_finished(self) -> None:
        """Remove the finished file, which another tool may have divided into the files of a folder."""
        if not self._finished.is_dir() or self._finished.is_symlink():
            self._finished.unlink(missing_ok=True)
            return
        for part in parts_of(self._finished):
            part.unlink()
        self._finished.rmdir()

    def _write_lines(self, path: Path) -> None:
        with path.open("wb") as file:
            for records in finished_tables(self._finished):
                file.writelines(lines_of(records))

    def _write_parquet(self, path: Path) -> None:
        """Write the rows in small pieces, because they are Python objects at first."""
        with regular(self._path, within=self._path.parent) as lines:

            def row(offset: int) -> dict[str, Any]:
                lines.seek(offset)
                return vars(parse_line(lines.readline()))

            write_finished(
                path,
                (
                    pa.Table.from_pylist(list(map(row, offsets)), schema=SCHEMA)
                    for offsets in _batches(self._finished_offsets(), _ROWS_AT_ONCE)
                ),
            )


def writes_alone(file: int) -> bool:
    """Lock an open file; false if it is locked already, also by this process.

    The lock ends when the file is closed. On a file system without locks, the answer is always true.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _batches(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    return iter(lambda: list(islice(rest, size)), [])
