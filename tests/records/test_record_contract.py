"""The documented columns are those of the records, and the documented ways to read them work as written."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from adasise_bench.records.contract import VERSION, as_markdown, contract, unit_of
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import SCHEMA

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "run-folders.md").read_text(encoding="utf-8")
FOLDER = ROOT / "tests" / "golden" / "run_folder"
TEXTS = {
    "model", "method", "image_id", "class_name", "error", "weights", "degenerate", "published_model",
    "mask_precision",
}  # fmt: skip


def test_the_page_has_the_contract() -> None:
    assert as_markdown() in PAGE
    assert f"## Columns, version {VERSION}\n" in PAGE


def test_every_number_has_a_unit() -> None:
    assert [name for name, _, _ in contract()] == SCHEMA.names
    assert {name for name in SCHEMA.names if not unit_of(name)} == TEXTS


def test_the_columns_of_a_file_of_version_1_are_still_there() -> None:
    written = pq.read_schema(FOLDER / "records.parquet")
    assert all(SCHEMA.field(field.name).type == field.type for field in written)


def examples() -> list[str]:
    section = PAGE[PAGE.index("## Reading the records") : PAGE.index("## Columns")]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


@pytest.mark.parametrize("number", range(4))
def test_examples_read_the_records(
    number: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(FOLDER)
    expected = read_records(FOLDER)
    example = examples()[number]
    if "duckdb" in example:
        pytest.importorskip("duckdb")
    names: dict[str, object] = {"pd": pd}
    exec(compile(example, "example", "exec"), names)
    printed = capsys.readouterr().out
    if "iter_batches" in example:
        assert int(printed) == len(expected)
    elif "duckdb" in example:
        means = names["means"].df().set_index(["model", "method"])["ebpg"]  # type: ignore[attr-defined]
        of_frame = expected.groupby(["model", "method"])["ebpg"].mean()
        pd.testing.assert_series_equal(means.sort_index(), of_frame.sort_index())
    else:
        keys = ["model", "method", "image_id", "class_name"]
        read = names["records"]
        assert isinstance(read, pd.DataFrame)
        columns = [*keys, "ebpg", "drop", "score"]
        pd.testing.assert_frame_equal(
            read[columns].sort_values(keys, ignore_index=True),
            expected[columns].sort_values(keys, ignore_index=True),
            check_exact=True,
            check_dtype=False,
        )
