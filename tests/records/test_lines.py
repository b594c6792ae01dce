"""Lines that are written column by column, against those that are written record by record."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from adasise_bench.records.lines import lines_of
from adasise_bench.records.record import SCHEMA, Record, parse_line, to_line

TEXTS = ("dog", 'a "quoted" \\ name', "dining tabl\u00e9 \U0001f415", "100 %s", "line\nbreak", "")
FLOATS = (0.0, -0.0, 1 / 3, 1e-300, 5e-324, 1e16, 123456789.125, 1.7976931348623157e308, 100.0)


def value(kind: pa.DataType, rng: np.random.Generator) -> Any:
    if pa.types.is_string(kind):
        return TEXTS[rng.integers(len(TEXTS))]
    if pa.types.is_boolean(kind):
        return bool(rng.integers(2))
    if pa.types.is_integer(kind):
        return int(rng.integers(2**62))
    if pa.types.is_list(kind):
        return [value(kind.value_type, rng) for _ in range(rng.integers(4))]
    if pa.types.is_float32(kind):
        return float(np.float32(rng.random()))
    return FLOATS[rng.integers(len(FLOATS))]


def rows(seed: int, count: int, absent: float) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    keys = ("model", "method", "image_id")
    return [
        {
            field.name: None if field.name not in keys and rng.random() < absent else value(field.type, rng)
            for field in SCHEMA
        }
        for _ in range(count)
    ]


@pytest.mark.parametrize(("seed", "absent"), [(0, 0.0), (1, 0.3), (2, 0.9), (3, 1.0)])
def test_lines_are_those_of_single_records(seed: int, absent: float) -> None:
    records = rows(seed, 60, absent)
    table = pa.Table.from_pylist(records, schema=SCHEMA)
    expected = [to_line(Record(**row)) for row in table.to_pylist()]
    assert lines_of(table) == expected
    parts = pa.concat_tables([table.slice(0, 7), table.slice(7, 20), table.slice(27)])
    assert lines_of(parts) == expected
    assert lines_of(table.slice(11, 9)) == expected[11:20]
    assert [vars(parse_line(line)) for line in expected] == [vars(Record(**row)) for row in records]


def test_a_table_without_rows_has_no_lines() -> None:
    assert lines_of(SCHEMA.empty_table()) == []


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", ["ebpg", "class_scores"])
def test_a_number_that_json_does_not_have_is_refused(column: str, bad: float) -> None:
    row = rows(0, 1, 0.0)[0] | {column: [bad] if column == "class_scores" else bad}
    with pytest.raises(ValueError, match="infinite values, or values that are no numbers"):
        lines_of(pa.Table.from_pylist([row], schema=SCHEMA))
