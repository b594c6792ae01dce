"""Parquet files that unpack to much more than they hold, with limits small enough to do no harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adasise_bench.records import row_groups


def read(path: Path, columns: list[str] | None = None) -> pa.Table:
    with path.open("rb") as file:
        return pa.concat_tables(row_groups.row_groups(file, columns))


def written(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path / "file.parquet", **options)
    return path / "file.parquet"


def test_a_file_is_read_as_pyarrow_reads_it(tmp_path: Path) -> None:
    columns = {
        "text": pa.array(["a", None, "b", "a", "é"]),
        "bytes": pa.array([b"a", None, b"\xff", b"a", b""]),
        "number": pa.array([1.5, None, -0.5, 2.0, 3.0]),
        "list": pa.array([[1, 2], None, [], [3], [4]]),
    }
    path = written(tmp_path, columns, row_group_size=2)
    assert read(path).combine_chunks() == pq.read_table(path).combine_chunks()
    assert read(path, ["list", "text"]) == pq.read_table(path, columns=["list", "text"])


def test_a_file_without_rows_keeps_its_columns(tmp_path: Path) -> None:
    empty = {"text": pa.array([], pa.string()), "number": pa.array([], pa.float64())}
    for name in ("rows", "groups"):
        folder = tmp_path / name
        folder.mkdir()
        if name == "rows":
            path = written(folder, empty)
        else:
            path = folder / "file.parquet"
            pq.ParquetWriter(path, pa.table(empty).schema).close()
        assert read(path).schema == pa.table(empty).schema
        assert read(path, ["number"]).column_names == ["number"]


def test_the_number_of_groups_is_not_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "MOST_ROWS", 10)
    monkeypatch.setattr(row_groups, "MOST_BYTES", 2_000)
    path = written(tmp_path, {"number": list(range(5_000))}, row_group_size=10)
    assert read(path)["number"].to_pylist() == list(range(5_000))


def test_a_group_of_too_many_rows_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "MOST_ROWS", 10)
    path = written(tmp_path, {"number": [1] * 11}, row_group_size=11)
    with pytest.raises(ValueError, match="row group 0 has 11 rows"):
        read(path)


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.binary()])
def test_a_text_repeated_too_often_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: pa.DataType
) -> None:
    """The file holds the text once, and would unpack to it a thousand times."""
    monkeypatch.setattr(row_groups, "MOST_BYTES", 50_000)
    path = written(tmp_path, {"text": pa.array(["x" * 1_000] * 1_000, kind)})
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="row group 0 unpacks to more than"):
        read(path)
    monkeypatch.setattr(row_groups, "MOST_BYTES", 1_000_000)
    assert read(path)["text"].to_pylist() == pq.read_table(path)["text"].to_pylist()


def test_a_list_too_long_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(row_groups, "MOST_BYTES", 50_000)
    path = written(tmp_path, {"list": pa.array([[0] * 10_000])})
    assert path.stat().st_size < 10_000
    with pytest.raises(ValueError, match="row group 0 unpacks to more than"):
        read(path)
