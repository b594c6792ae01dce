"""The records of a run: what they hold, and how they are read back."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter, with_config

from adasise_bench.records.folder_names import FINISHED as FINISHED
from adasise_bench.records.folder_names import IN_FLIGHT as IN_FLIGHT
from adasise_bench.records.row_groups import row_groups
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import regular, whole_lines


class Key(NamedTuple):
    """What identifies a record; ``class_name`` is ``None`` where the annotation could not be read."""

    model: str
    method: str
    image_id: str
    class_name: str | None


Count = Annotated[int, Field(ge=0, lt=2**63)]


@with_config(ConfigDict(extra="forbid", allow_inf_nan=False))
@dataclass(frozen=True)
class Record:
    """One explanation and its measures.

    Attributes:
        ebpg, bbox, drop, increase, miou: percent.
        pointing: 100 or 0; null where all objects of the class are "difficult" in VOC's sense.
        pointing_difficult: the same; null outside the difficult set as well.
        average_gain: percent; null where the score is 1 or a raw output.
        insertion, deletion: percent; null where they were not asked for.
        head_sensitivity: rank correlation in [-1, 1]; null where it was not asked for or a map is flat.
        score: Ψ of the whole picture.
        box_share: percent of the input's pixels inside the class's boxes, EBPG's chance level.
        seconds, seconds_*: run-time in total and by phase.
        seconds_plain_forward: per input of a plain batched forward pass, timed just before the picture's
            or, where explanations are quick, before those of an earlier picture of the same size.
        forwards, backwards: inputs passed through the network by the method.
        peak_memory_mb: most memory that tensors held on the GPU during the explanation, the run's networks
            included, in 10^6 bytes; null on the CPU and with shared forwards, where it
            belongs to no single explanation.
        maps_kept, maps_positive: feature maps per block.
        degenerate: all pixels of the map are equal.
        error: why there is no explanation; the measures are then null.
        published_model, weights: whether the weights are TorchRay's, and the start of their SHA-256.
    """

    model: str
    method: str
    image_id: str
    class_name: str | None
    ebpg: float | None = None
    bbox: float | None = None
    drop: float | None = None
    increase: float | None = None
    miou: float | None = None
    pointing: float | None = None
    pointing_difficult: float | None = None
    average_gain: float | None = None
    insertion: float | None = None
    deletion: float | None = None
    head_sensitivity: float | None = None
    score: float | None = None
    box_share: float | None = None
    seconds: float | None = None
    seconds_feature_maps: float | None = None
    seconds_selection: float | None = None
    seconds_scoring: float | None = None
    seconds_fusion: float | None = None
    seconds_optimisation: float | None = None
    seconds_plain_forward: float | None = None
    forwards: Count | None = None
    backwards: Count | None = None
    peak_memory_mb: float | None = None
    maps_kept: list[Count] | None = None
    maps_positive: list[Count] | None = None
    degenerate: bool | None = None
    error: str | None = None
    published_model: bool | None = None
    weights: str | None = None

    @property
    def key(self) -> Key:
        """The record's identity."""
        return Key(self.model, self.method, self.image_id, self.class_name)


_LINE = TypeAdapter(Record)

_TYPES = {"str": pa.string(), "float": pa.float64(), "Count": pa.int64(), "bool": pa.bool_(),
          "list[Count]": pa.list_(pa.int64())}  # fmt: skip

SCHEMA = pa.schema(
    [(field.name, _TYPES[str(field.type).removesuffix(" | None")]) for field in fields(Record)]
)

_ROWS_AT_ONCE = 4_096

_CHECKSUM = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\n?$')
"""How a line of :data:`IN_FLIGHT` ends; lines of earlier versions end without."""

_ADDED = {"peak_memory_mb", "seconds_plain_forward", "pointing", "pointing_difficult", "average_gain",
          "insertion", "deletion", "head_sensitivity"}  # fmt: skip
"""Columns that run folders of earlier versions lack."""


def read_records(folder: Path) -> pd.DataFrame:
    """All records of a run folder, finished or in flight, with the columns of :class:`Record`.

    Raises:
        DataError: not a run folder, or its records are damaged.
    """
    if (folder / FINISHED).exists():
        with _as_damage(folder / FINISHED):
            return _frame(pa.concat_tables(_finished_groups(folder / FINISHED)))
    if not (folder / IN_FLIGHT).exists():
        raise DataError(f"{folder}: not a run folder (neither {FINISHED} nor {IN_FLIGHT})")
    unique = {record.key: record for _, record in in_flight(folder / IN_FLIGHT)}
    return _frame(_table(unique.values()))


def record_batches(folder: Path) -> Iterator[pd.DataFrame]:
    """The records that a run goes on from, in pieces of some thousand, so that memory holds no more.

    They are those in flight; where these are lost, those of the finished file. Of several records with one
    key the last counts.

    Raises:
        DataError: the records are damaged.
    """
    if only_finished_is_left(folder):
        yield from finished_batches(folder / FINISHED)
        return
    records = (record for _, record in in_flight(folder / IN_FLIGHT))
    while piece := list(islice(records, _ROWS_AT_ONCE)):
        yield _frame(_table(piece))


def finished_batches(path: Path) -> Iterator[pd.DataFrame]:
    """The records of a Parquet file in pieces of some thousand, in their order.

    Raises:
        DataError: they are damaged.
    """
    for table in _finished_tables(path):
        with _as_damage(path):
            yield _frame(table)


def finished_records(path: Path) -> Iterator[Record]:
    """The records of a Parquet file one by one, in their order.

    Raises:
        DataError: they are damaged.
    """
    for table in _finished_tables(path):
        for row in table.to_pylist():
            yield Record(**row)


def only_finished_is_left(folder: Path) -> bool:
    """Whether the records in flight are lost, so that the finished ones are all there is."""
    path = folder / IN_FLIGHT
    return (folder / FINISHED).exists() and (not path.exists() or path.stat().st_size == 0)


def cure(folder: Path, name: str) -> str:
    """What to do about a record that is damaged or impossible, in the folder's file of this name."""
    if name == IN_FLIGHT:
        return "remove its line and resume"
    if only_finished_is_left(folder):
        return "run again with --no-resume, or take the file from a copy"
    return "delete it and resume"


def _finished_tables(path: Path) -> Iterator[pa.Table]:
    with _as_damage(path):
        for group in _finished_groups(path):
            for batch in group.to_batches(_ROWS_AT_ONCE):
                yield pa.Table.from_batches([batch])


def _finished_groups(path: Path) -> Iterator[pa.Table]:
    """The row groups of the Parquet file with the columns of a record, their checksums verified."""
    with regular(path, within=path.parent) as file:
        yield from map(_complete, row_groups(file))


@contextmanager
def _as_damage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
        raise DataError(f"{path}: damaged records ({error}); {cure(path.parent, path.name)}") from None


def _complete(table: pa.Table) -> pa.Table:
    """The columns of a record, in their order and types; those that the file lacks are null."""
    for name in _ADDED - set(table.column_names):
        table = table.append_column(name, pa.nulls(len(table), SCHEMA.field(name).type))
    return table.select(SCHEMA.names).cast(SCHEMA)


def _table(records: Iterable[Record]) -> pa.Table:
    return pa.Table.from_pylist([asdict(record) for record in records], schema=SCHEMA)


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    names = [name for name in Key._fields if name != "class_name"]
    if frame[names].isna().any(axis=None):
        raise ValueError(f"records without {' or '.join(names)}")
    if np.isinf(frame.select_dtypes("float")).any(axis=None):
        raise ValueError("infinite values")
    return frame


def in_flight(path: Path) -> Iterator[tuple[int, Record]]:
    """The records of :data:`IN_FLIGHT`, each with the offset of the line's end; a torn last line is none.

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


class ChangedLineError(ValueError):
    """A line is not what its checksum was made of."""


def to_line(record: Record) -> bytes:
    """A record as one line of :data:`IN_FLIGHT`: JSON, whose last entry is the CRC-32 of all before it."""
    body = json.dumps(asdict(record), allow_nan=False).encode()
    return body[:-1] + b', "crc32": "%08x"}\n' % zlib.crc32(body)


def parse_line(line: bytes) -> Record:
    """The record in one line of :data:`IN_FLIGHT`; what has no checksum is taken without.

    Raises:
        ChangedLineError: it has one, which does not fit.
        ValueError: it is no record.
    """
    if stated := _CHECKSUM.search(line):
        line = line[: stated.start()] + b"}"
        if zlib.crc32(line) != int(stated[1], 16):
            raise ChangedLineError
    return _LINE.validate_json(line, strict=True)
