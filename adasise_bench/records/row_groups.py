"""Reads Parquet files that somebody else may have written, one row group at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import BufferedReader

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

MOST_ROWS = 2**20
"""The most rows of one row group. This tool writes 131072, and pyarrow by default at most this many."""

MOST_BYTES = 2**30
"""The most bytes of one row group after unpacking; one that this tool wrote takes about 50 million."""

ALL_ROWS = slice(0, None)

_BUFFER = 2**16


class RowGroupTooLargeError(ValueError):
    """A row group is larger than this tool unpacks. The file may be sound."""


def row_groups(
    file: BufferedReader, columns: Sequence[str] | None = None, rows: slice = ALL_ROWS
) -> Iterator[pa.Table]:
    """The row groups of a Parquet file in order, at least one; checksums of pages are verified.

    Groups without any of ``rows`` are not unpacked, and of the others only these rows are given. Columns that
    the file lacks are left out.

    A file of a few kilobytes can unpack to more than any memory holds. Therefore the size of a group is
    checked before it is unpacked; the number of groups is not limited. Texts are read as numbers that refer
    to the different texts of a group, so that a repeated text takes no memory before the check.

    Raises:
        RowGroupTooLargeError: a group has more than :data:`MOST_ROWS` or unpacks to more than
            :data:`MOST_BYTES`.
        OSError, pyarrow.ArrowException: the file is damaged.
    """
    with _opened(file) as reader:
        known = reader.schema_arrow.names
        if columns is not None:
            # One that is not asked for tells how many rows there are if the file has none that is.
            columns = [name for name in columns if name in known] or known[:1]
        yielded, before = False, 0
        for index in range(reader.num_row_groups):
            here = within(rows, before, reader.metadata.row_group(index).num_rows)
            before += reader.metadata.row_group(index).num_rows
            if here.start < here.stop or rows == ALL_ROWS:
                yield _read(reader, index, columns)[here]
                yielded = True
        if not yielded:
            yield _written_out(reader.schema_arrow.empty_table().select(columns or known), 0)


def within(rows: slice, before: int, length: int) -> slice:
    """Which rows of a part these rows of the whole are, where the part follows ``before`` rows."""
    stop = before + length if rows.stop is None else rows.stop
    return slice(min(max(0, rows.start - before), length), min(max(0, stop - before), length))


def small_tables(file: BufferedReader, rows: int) -> Iterator[pa.Table]:
    """The rows of a Parquet file in order, so many at a time, so that memory does not hold a whole group.

    A group is refused as :func:`row_groups` does.

    Args:
        file: the Parquet file.
        rows: the most rows of a table.

    Raises:
        RowGroupTooLargeError: as :func:`row_groups` does.
        OSError, pyarrow.ArrowException: the file is damaged.
    """
    with _opened(file, _BUFFER) as reader:
        for index in range(reader.num_row_groups):
            _refuse_large(reader.metadata.row_group(index), index)
            for batch in reader.iter_batches(rows, [index]):
                yield _written_out(pa.Table.from_batches([batch]), index)


def rows_by_text(
    file: BufferedReader, names: Sequence[str], column: str
) -> Iterator[tuple[list[str], int, int]]:
    """The rows of a Parquet file, counted by the values of some columns of text.

    A group of rows in which each of these columns has one value is counted from its description alone, so
    that the time does not grow with its rows.

    Args:
        file: the Parquet file.
        names: columns of text that are never null.
        column: another column.

    Returns:
        (values of ``names``, number of rows, number of them in which ``column`` is not null), in which the
        same values can come several times.

    Raises:
        RowGroupTooLargeError: as :func:`row_groups` does.
        OSError, pyarrow.ArrowException: the file is damaged.
    """
    with _opened(file) as reader:
        for index in range(reader.num_row_groups):
            group = reader.metadata.row_group(index)
            told = {
                chunk.path_in_schema: chunk.statistics
                for chunk in (group.column(number) for number in range(group.num_columns))
            }
            values = [_only_value(told.get(name)) for name in names]
            other = told.get(column)
            if None not in values and other is not None and other.has_null_count:
                yield [str(value) for value in values], group.num_rows, group.num_rows - other.null_count
                continue
            rows = _read(reader, index, [*names, column])
            for counted in (
                rows.group_by(list(names)).aggregate([([], "count_all"), (column, "count")]).to_pylist()
            ):
                yield [counted[name] for name in names], counted["count_all"], counted[f"{column}_count"]


def _only_value(statistics: pq.Statistics | None) -> str | None:
    """The one value of a column of text in a group of rows; ``None`` if it has several or tells none."""
    if statistics is None or not (statistics.has_min_max and statistics.has_null_count):
        return None
    only = statistics.min == statistics.max and not statistics.null_count
    return statistics.min if only and isinstance(statistics.min, str) else None


def _opened(file: BufferedReader, buffer: int = 0) -> pq.ParquetFile:
    """Open a file; ``buffer`` is how many bytes of a column are read at a time, 0 for all of a group."""
    texts = [field.name for field in pq.read_schema(file) if _is_text(field.type)]
    return pq.ParquetFile(file, page_checksum_verification=True, read_dictionary=texts, buffer_size=buffer)


def _read(reader: pq.ParquetFile, index: int, columns: Sequence[str] | None) -> pa.Table:
    """One group of rows, if it is not too large."""
    _refuse_large(reader.metadata.row_group(index), index)
    return _written_out(reader.read_row_group(index, columns=columns), index)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind))


def _refuse_large(group: pq.RowGroupMetaData, index: int) -> None:
    """Refuse a group that is too large according to the file's own description."""
    if group.num_rows > MOST_ROWS:
        raise RowGroupTooLargeError(f"row group {index} has {group.num_rows} rows, more than {MOST_ROWS}")
    values = max((group.column(column).num_values for column in range(group.num_columns)), default=0)
    if max(group.total_byte_size, 8 * values) > MOST_BYTES:
        raise RowGroupTooLargeError(f"row group {index} unpacks to more than {MOST_BYTES // 2**20} MiB")


def _written_out(group: pa.Table, index: int) -> pa.Table:
    """The group with its texts in full, unless they are too long together."""
    size = 0
    for column in group.columns:
        for chunk in column.chunks:
            if pa.types.is_dictionary(chunk.type):
                lengths = pc.take(pc.binary_length(chunk.dictionary), chunk.indices)
                size += pc.sum(lengths).as_py() or 0
    if size > MOST_BYTES:
        raise RowGroupTooLargeError(
            f"row group {index} unpacks to more than {MOST_BYTES // 2**20} MiB of text"
        )
    plain = [
        pa.field(field.name, field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in group.schema
    ]
    return group.cast(pa.schema(plain))
