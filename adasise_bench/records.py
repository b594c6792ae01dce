"""The records of a run: appended safely while it runs, one Parquet file when it has finished."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ConfigDict, Field, TypeAdapter, with_config

from adasise_bench.errors import DataError, OutputError

IN_FLIGHT = "records.jsonl"
FINISHED = "records.parquet"
TEMPORARY = ".tmp"
"""How the names of hidden files end that :func:`write_atomically` leaves behind when it is killed."""


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
        seconds_plain_forward: per input of a plain batched forward pass, timed just before the picture's.
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

_MOST_ROWS = 10_000_000

_ADDED = {"peak_memory_mb", "seconds_plain_forward", "pointing", "pointing_difficult", "average_gain",
          "insertion", "deletion", "head_sensitivity"}  # fmt: skip
"""Columns that run folders of earlier versions lack."""


class RecordStore:
    """Appends records to a run folder; what was appended survives a kill at any moment.

    Every record is one JSON line written by one system call; a torn last line, which a crash of the
    machine can leave, is cut off when the store is opened again.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / IN_FLIGHT
        self._finished = folder / FINISHED
        self.records: dict[Key, Record] = {record.key: record for record in _read_lines(self._path)}
        with _as_output_error(self._path):
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.ftruncate(self._file, _whole_lines(self._path))

    def append(self, records: Iterable[Record]) -> None:
        """Write records and wait until they are on the disk.

        Raises:
            OutputError: the disk is full or gone; everything appended before is kept.
        """
        new = list(records)
        lines = "".join(json.dumps(asdict(record), allow_nan=False) + "\n" for record in new).encode()
        with _as_output_error(self._path):
            self._finished.unlink(missing_ok=True)
            size = os.fstat(self._file).st_size
            try:
                if os.write(self._file, lines) != len(lines):
                    raise OSError(28, "No space left on device")
                os.fsync(self._file)
            except OSError:
                os.ftruncate(self._file, size)
                raise
        self.records.update({record.key: record for record in new})

    def finish(self, order: Iterable[Key]) -> None:
        """Write the records as the run's Parquet file, those with the given keys first and in that order.

        The others follow, but for errors that images of the keys no longer have.

        Raises:
            OutputError: the file cannot be written.
        """
        wanted = dict.fromkeys(order)
        images = {key.image_id for key in wanted}
        others = [
            key for key, record in self.records.items() if record.error is None or key.image_id not in images
        ]
        keys = dict.fromkeys([*wanted, *others])
        rows = [asdict(self.records[key]) for key in keys if key in self.records]
        table = pa.Table.from_pylist(rows, schema=SCHEMA)
        write_atomically(self._finished, lambda path: pq.write_table(table, path, write_page_checksum=True))

    def close(self) -> None:
        """Release the file."""
        os.close(self._file)


def read_records(folder: Path) -> pd.DataFrame:
    """All records of a run folder, finished or in flight, with the columns of :class:`Record`.

    Raises:
        DataError: not a run folder, or its records are damaged.
    """
    if (folder / FINISHED).exists():
        try:
            table = _finished(folder / FINISHED)
            for name in _ADDED - set(table.column_names):
                table = table.append_column(name, pa.nulls(len(table), SCHEMA.field(name).type))
            return _frame(table.select(SCHEMA.names).cast(SCHEMA))
        except (OSError, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            raise DataError(f"{folder / FINISHED}: damaged records ({error}); delete it and resume") from None
    if not (folder / IN_FLIGHT).exists():
        raise DataError(f"{folder}: not a run folder (neither {FINISHED} nor {IN_FLIGHT})")
    unique = {record.key: record for record in _read_lines(folder / IN_FLIGHT)}
    return _frame(pa.Table.from_pylist([asdict(record) for record in unique.values()], schema=SCHEMA))


def _finished(path: Path) -> pa.Table:
    """The Parquet file as it is, its checksums verified; more rows than any run has are not unpacked."""
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        if file.metadata.num_rows > _MOST_ROWS:
            raise ValueError(f"{file.metadata.num_rows} rows")
        return file.read()


def _frame(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas()
    names = [name for name in Key._fields if name != "class_name"]
    if frame[names].isna().any(axis=None):
        raise ValueError(f"records without {' or '.join(names)}")
    if np.isinf(frame.select_dtypes("float")).any(axis=None):
        raise ValueError("infinite values")
    return frame


def explained_images(folder: Path) -> set[str]:
    """Ids of the images that a run folder holds an explanation of.

    Raises:
        DataError: its records are damaged.
    """
    return {record.image_id for record in _read_lines(folder / IN_FLIGHT) if record.error is None}


def write_text_atomically(path: Path, text: str) -> None:
    """:func:`write_atomically` for UTF-8 text."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place in one step.

    Raises:
        OutputError: the folder cannot be written or is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with _as_output_error(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


class _as_output_error:  # noqa: N801 - used like a function
    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            raise OutputError(
                f"{self._path}: cannot write: {error.strerror or error}; "
                "free space or choose another --output, then run the same command again to resume"
            ) from None


def _whole_lines(path: Path) -> int:
    """Bytes of ``path`` up to and including its last line break."""
    return path.read_bytes().rfind(b"\n") + 1


def _read_lines(path: Path) -> list[Record]:
    if not path.exists():
        return []
    try:
        lines = path.read_bytes().split(b"\n")[:-1]
    except OSError as error:
        raise DataError(f"{path}: cannot read the records: {error.strerror or error}") from None
    records = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(_LINE.validate_json(line, strict=True))
        except ValueError:
            raise DataError(f"{path}: line {number} is not a record; remove that line and resume") from None
    return records
