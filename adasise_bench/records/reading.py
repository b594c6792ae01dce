"""Reads the records of a run folder, finished or in flight."""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from adasise_bench.metrics.registry import COMPUTED, QUALITY
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT, no_run_folder
from adasise_bench.records.record import _CHECKSUM, CHANCE, SCHEMA, ChangedLineError, Key, Record, parse_line
from adasise_bench.records.row_groups import (
    ALL_ROWS,
    RowGroupTooLargeError,
    row_groups,
    small_tables,
    within,
)
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import regular, whole_lines

_ROWS_AT_ONCE = 4_096
_CHECKED_AT_ONCE = 16_384


_ADDED = {
    "peak_memory_mb", "seconds_plain_forward", "maps_live", "rank", "class_scores", "classes_annotated",
    "classes_difficult", "mask_precision", *CHANCE, *COMPUTED,
} - set(QUALITY)  # fmt: skip
"""Columns that run folders of earlier versions lack."""


class Read(Protocol):
    """Reads some columns of some rows of the records, or all, a group of rows after the other."""

    def __call__(self, columns: Sequence[str] | None, rows: slice = ALL_ROWS) -> Iterator[pa.Table]:
        """Tables with these columns, at least one, which may be empty."""


def reader(folder: Path) -> Read:
    """Reads the records of a run folder, finished or in flight, with the columns of :class:`Record`.

    Of a finished run, memory holds one group of rows at a time. The records in flight are held in memory, as
    columns (about 300 bytes for each); if several have the same key, the last one counts.

    Raises:
        DataError: not a run folder, or its records are damaged; the returned function raises it as well.
    """
    if (folder / FINISHED).exists():
        with as_damage(folder / FINISHED):
            return partial(_finished_columns, folder / FINISHED, _stamps(folder / FINISHED))
    if not (folder / IN_FLIGHT).exists():
        raise no_run_folder(folder)
    return in_memory(_last_of_each(record for _, record in in_flight(folder / IN_FLIGHT)))


def in_memory(table: pa.Table) -> Read:
    """Reads a table that is in memory."""
    return lambda columns, rows=ALL_ROWS: iter([table.select(columns or table.column_names)[rows]])


def read_records(folder: Path) -> pd.DataFrame:
    """All records of a run folder, finished or in flight, with the columns of :class:`Record`.

    Raises:
        DataError: not a run folder, or its records are damaged.
    """
    return all_records(reader(folder), folder)


def all_records(read: Read, folder: Path) -> pd.DataFrame:
    """All records that a reader of a folder reads.

    Raises:
        DataError: its records are damaged.
    """
    with as_damage(folder / FINISHED):
        return frame(pa.concat_tables(read(None)))


def compact_frame(tables: Iterable[pa.Table]) -> pd.DataFrame:
    """Columns of records in little memory.

    Texts are categories, in the order of their names. Lists are lists of Arrow and no objects.
    """
    table = pa.concat_tables(map(_encoded, tables)).unify_dictionaries()
    records: pd.DataFrame = table.to_pandas(types_mapper=_compact_type, split_blocks=True)
    del table
    pa.default_memory_pool().release_unused()
    for name in records.columns:
        if isinstance(records[name].dtype, pd.CategoricalDtype):
            categories = records[name].cat.categories
            records[name] = records[name].cat.reorder_categories(categories.sort_values())
    return records


def _encoded(table: pa.Table) -> pa.Table:
    for index, field in enumerate(table.schema):
        if pa.types.is_string(field.type):
            table = table.set_column(index, field.name, table[index].dictionary_encode())
    return table


def _compact_type(kind: pa.DataType) -> pd.ArrowDtype | None:
    return pd.ArrowDtype(kind) if pa.types.is_list(kind) else None


def _last_of_each(records: Iterable[Record]) -> pa.Table:
    """The last record of every key, in the order of the keys."""
    last: dict[Key, int] = {}
    pieces, number = [SCHEMA.empty_table()], 0
    while piece := list(islice(records, _ROWS_AT_ONCE)):
        pieces.append(_table(piece))
        for record in piece:
            last[record.key] = number
            number += 1
    return pa.concat_tables(pieces).take(pa.array(last.values(), pa.int64()))


def _finished_columns(
    path: Path, stamps: _Stamps, columns: Sequence[str] | None, rows: slice = ALL_ROWS
) -> Iterator[pa.Table]:
    with as_damage(path):
        if _stamps(path) != stamps:
            raise DataError(f"{path}: was replaced while it was read; give the command again")
        yield from _finished_groups(path, columns, rows)


_Stamps = list[tuple[str, int, int, int]]


def _stamps(path: Path) -> _Stamps:
    """What changes when a finished file does, so that columns of two states are never put together."""
    stamps = []
    for part in parts_of(path):
        found = part.stat()
        stamps.append((part.name, found.st_size, found.st_mtime_ns, found.st_ino))
    return stamps


def record_batches(folder: Path) -> Iterator[pd.DataFrame]:
    """The records from which a run continues, some thousand at a time, so that memory holds no more.

    They are the records in flight or, if these are lost, those of the finished file. If several records have
    the same key, the last one counts.

    Raises:
        DataError: the records are damaged.
    """
    if only_finished_is_left(folder):
        yield from finished_batches(folder / FINISHED)
        return
    records = (record for _, record in in_flight(folder / IN_FLIGHT))
    while piece := list(islice(records, _ROWS_AT_ONCE)):
        yield frame(_table(piece))


def finished_batches(path: Path) -> Iterator[pd.DataFrame]:
    """The records of a finished file, some thousand at a time, in their order.

    Raises:
        DataError: they are damaged.
    """
    for table in finished_tables(path):
        with as_damage(path):
            yield frame(table)


def finished_tables(path: Path) -> Iterator[pa.Table]:
    """The records of a finished file, some thousand at a time, in their order.

    Raises:
        DataError: they are damaged.
    """
    with as_damage(path):
        for part in parts_of(path):
            with regular(part, within=path.parent) as file:
                for table in small_tables(file, _ROWS_AT_ONCE):
                    yield _complete(table, SCHEMA.names)


def parts_of(path: Path) -> list[Path]:
    """The Parquet files of a finished file: itself, or the files in it if it is a folder, in order of name.

    This tool writes one file. Other tools may divide it, and then write a folder of this name.

    Raises:
        FileNotFoundError: it is a folder without such files.
    """
    if not path.is_dir():
        return [path]
    parts = sorted(path.glob("*.parquet"))
    if not parts:
        raise FileNotFoundError(errno.ENOENT, "a folder without a file *.parquet")
    return parts


def only_finished_is_left(folder: Path) -> bool:
    """Whether the records in flight are lost, so that only the finished ones are left."""
    path = folder / IN_FLIGHT
    return (folder / FINISHED).exists() and (not path.exists() or path.stat().st_size == 0)


def cure(folder: Path, name: str) -> str:
    """What a reader should do about a damaged or impossible record in the folder's file of this name."""
    if name == IN_FLIGHT:
        return "remove its line and resume"
    if only_finished_is_left(folder):
        return "run again with --no-resume, or take the file from a copy"
    return "delete it and resume"


def _finished_groups(
    path: Path, columns: Sequence[str] | None = None, rows: slice = ALL_ROWS
) -> Iterator[pa.Table]:
    """The row groups of the finished file with the columns of a record, their checksums verified."""
    parts, before = parts_of(path), 0
    for part in parts:
        with regular(part, within=path.parent) as file:
            here = rows
            if len(parts) > 1 and rows != ALL_ROWS:
                length = pq.read_metadata(file).num_rows
                here, before = within(rows, before, length), before + length
            for group in row_groups(file, columns, here):
                yield _complete(group, columns or SCHEMA.names)


@contextmanager
def as_damage(path: Path) -> Iterator[None]:
    """Says of what the body raises over a finished file that its records are damaged.

    Raises:
        DataError: names the file, what is wrong with it and the cure.
    """
    try:
        yield
    except RowGroupTooLargeError as error:
        raise DataError(
            f"{path}: {error}, which is more than is unpacked at once, although the file may be sound; write "
            "it again in smaller row groups, as pyarrow.parquet.write_table(..., row_group_size=131072) does"
        ) from None
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: damaged records ({error}); {cure(path.parent, path.name)}") from None


def _complete(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    """These columns of a record, in this order and their types; those that the file lacks are null."""
    for name in _ADDED.intersection(columns) - set(table.column_names):
        table = table.append_column(name, pa.nulls(len(table), SCHEMA.field(name).type))
    return table.select(columns).cast(pa.schema([SCHEMA.field(name) for name in columns]))


def _table(records: Iterable[Record]) -> pa.Table:
    return pa.Table.from_pylist([asdict(record) for record in records], schema=SCHEMA)


def frame(table: pa.Table) -> pd.DataFrame:
    """Records as a data frame.

    Raises:
        ValueError: a record has no key, or an infinite value.
    """
    records: pd.DataFrame = table.to_pandas()
    names = [name for name in Key._fields if name != "class_name"]
    if records[names].isna().any(axis=None):
        raise ValueError(f"records without {' or '.join(names)}")
    if np.isinf(records.select_dtypes("float")).any(axis=None):
        raise ValueError("infinite values")
    return records


def checked_batches(read: Read, folder: Path) -> Iterator[pd.DataFrame]:
    """All records without their lists, some thousand at a time, for checks.

    Raises:
        DataError: they are damaged.
    """
    with as_damage(folder / FINISHED):
        for table in read([field.name for field in SCHEMA if not pa.types.is_list(field.type)]):
            for start in range(0, len(table), _CHECKED_AT_ONCE):
                yield frame(table.slice(start, _CHECKED_AT_ONCE))


def in_flight(path: Path) -> Iterator[tuple[int, Record]]:
    """The records of :data:`IN_FLIGHT` with the offset of each line's end, without an incomplete last line.

    Raises:
        DataError: it cannot be read, or a line is no record or was changed.
    """
    if not path.exists():
        return
    end, checked, number = 0, False, 0
    try:
        with regular(path, within=path.parent) as file:
            for number, line in enumerate(whole_lines(file), 1):
                if checked and not _CHECKSUM.search(line):
                    raise _bad_line(path, number, "has lost its checksum")
                checked = checked or _CHECKSUM.search(line) is not None
                end += len(line)
                yield end, _record(line, path, number)
    except OSError as error:
        raise DataError(f"{path}: cannot read the records: {error.strerror or error}") from None
    except ValueError as error:
        raise DataError(f"{path}: behind line {number}: {error}; remove that line and resume") from None


def _record(line: bytes, path: Path, number: int) -> Record:
    try:
        return parse_line(line)
    except ChangedLineError:
        raise _bad_line(path, number, "was changed or is damaged: its checksum does not fit") from None
    except ValueError:
        raise _bad_line(path, number, "is not a record") from None


def _bad_line(path: Path, number: int, problem: str) -> DataError:
    return DataError(f"{path}: line {number} {problem}; remove that line and resume")
