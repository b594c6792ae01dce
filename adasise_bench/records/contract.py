"""The columns of records as a contract: types and units, by version."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.record import CHANCE, SCHEMA

VERSION = 1
"""Counts up when a column is renamed, removed, or changes its type or unit. A new column does not count."""

_UNITS = {
    **dict.fromkeys(CHANCE, "percent"),
    "box_share": "percent",
    "score": "of Ψ",
    "class_scores": "of Ψ",
    "peak_memory_mb": "10^6 bytes",
    "forwards": "inputs",
    "backwards": "inputs",
    "rank": "place from 1",
    "maps_kept": "maps per block",
    "maps_positive": "maps per block",
    "maps_live": "maps per block",
    "classes_annotated": "numbers of classes from 0",
    "classes_difficult": "numbers of classes from 0",
}


def unit_of(column: str) -> str:
    """The unit of a column; empty for texts and truth values."""
    if column.startswith("seconds"):
        return "seconds"
    if column in _UNITS:
        return _UNITS[column]
    units = {metric.column: metric.unit for metric in METRICS.values()}
    return str(units.get(column, ""))


def _type(kind: pa.DataType) -> str:
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


def contract() -> Iterator[tuple[str, str, str]]:
    """Every column with its type and unit, in the order of the file."""
    for field in SCHEMA:
        yield field.name, _type(field.type), unit_of(field.name)


def as_markdown() -> str:
    """The contract as the table in docs/run-folders.md."""
    lines = ["| Column | Type | Unit |", "|---|---|---|"]
    lines += [f"| `{name}` | {kind} | {unit} |" for name, kind, unit in contract()]
    return "\n".join(lines) + "\n"
