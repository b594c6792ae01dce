"""Writes the finished file of a run, one group of rows after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from adasise_bench.records.record import SCHEMA

ROWS_PER_GROUP = 131_072


def write_finished(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write records as a run's Parquet file in groups of :data:`ROWS_PER_GROUP`; memory holds one group.

    The bytes of the file depend on the rows alone, and not on how they are divided into tables.

    Raises:
        OSError: it cannot be written.
    """
    with (
        path.open("wb") as file,  # because pyarrow only takes paths that are UTF-8
        pq.ParquetWriter(file, SCHEMA, write_page_checksum=True) as writer,
    ):
        for group in _groups(tables):
            writer.write_table(group.combine_chunks(), row_group_size=ROWS_PER_GROUP)


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The same rows in groups of equal size but for the last; one empty group if there are none."""
    held, written = SCHEMA.empty_table(), False
    for table in tables:
        held = pa.concat_tables([held, table])
        while len(held) >= ROWS_PER_GROUP:
            yield held.slice(0, ROWS_PER_GROUP)
            held, written = held.slice(ROWS_PER_GROUP), True
    if len(held) or not written:
        yield held
