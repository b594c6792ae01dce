"""Rows of measured values, with one cell for each method."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from dataclasses import replace
from functools import partial

import pandas as pd

from adasise_bench.metrics.registry import Average, Metric
from adasise_bench.reporting.statistics import Estimate, estimate_means
from adasise_bench.reporting.tables.blind import best_blind
from adasise_bench.reporting.tables.model import Cell, Row, number, title_of
from adasise_bench.reporting.tables.scores import Scores

Published = Mapping[str, Mapping[str, float]]
"""The paper's figures by method label and metric."""


def measured_rows(
    scores: Scores,
    metrics: Mapping[str, Metric],
    published: Published,
    of: Mapping[str, int] | None = None,
    group: str | None = None,
) -> list[Row]:
    """One row per metric; the best values are marked if all methods were measured on the same pairs.

    Args:
        scores: the values; if they are differences, there are no rows for quantiles and no best values.
        metrics: by name.
        published: what to show beside the measured values.
        of: number of pairs that each method should have; by default, the pairs of which any method has a
            value.
        group: class or object size that the cells shall name.
    """
    if scores.against is not None:
        metrics = {name: metric for name, metric in metrics.items() if metric.quantile is None}
    estimates = _estimates(scores, metrics.values())
    rows = []
    for name, metric in metrics.items():
        values = scores.read(metric.column)
        union = int(values.notna().any(axis=1).sum())
        cells = [
            _cell(
                scores,
                name,
                method,
                estimates[metric.average][metric.column, method],
                of[method] if of else union,
            )
            for method in scores.methods
        ]
        if metric.quantile is not None:
            cells = [_at_quantile(cell, values[cell.method], metric.quantile) for cell in cells]
        figures = {method: numbers[name] for method, numbers in published.items() if name in numbers}
        cells = [replace(cell, published=figures.get(str(cell.method)), group=group) for cell in cells]
        if scores.against is None:
            cells = [replace(cell, chance=_chance(scores, name, values[cell.method])) for cell in cells]
        row = Row(metric.title, metric.direction, metric.unit, tuple(cells))
        incomparable = partial(scores.incomparable, metric.column)
        rows.append(mark_best(row, scores.controls, incomparable) if scores.against is None else row)
    return rows


def _estimates(scores: Scores, metrics: Iterable[Metric]) -> dict[Average, dict[Hashable, Estimate]]:
    """The means, by kind of average, then by column of the records and method."""
    columns: dict[Average, dict[str, None]] = {}
    for metric in metrics:
        columns.setdefault(metric.average, {})[metric.column] = None
    return {
        average: estimate_means((_titled(name, scores.read(name)) for name in names), average)
        for average, names in columns.items()
    }


def _titled(name: str, values: pd.DataFrame) -> pd.DataFrame:
    """The same values, uncopied, in columns that are called (name, column)."""
    return values.set_axis(pd.MultiIndex.from_product([[name], values.columns]), axis=1)


def _cell(scores: Scores, metric: str, method: str, estimate: Estimate, of: int) -> Cell:
    return Cell(
        method,
        metric,
        estimate.mean,
        n=estimate.pairs,
        of=of,
        low=estimate.low,
        high=estimate.high,
        images=estimate.images,
        against=scores.against,
    )


def _chance(scores: Scores, metric: str, values: pd.Series[float]) -> float | None:
    """What the better image-blind map gets on the pairs that have a value."""
    level = best_blind(scores.chance[values.notna()], metric)
    return level.mean if level else None


def _at_quantile(cell: Cell, values: pd.Series[float], quantile: float) -> Cell:
    measured = float(values.quantile(quantile)) if values.notna().any() else None
    return replace(cell, measured=measured, low=None, high=None)


def mark_best(row: Row, controls: Collection[str] = (), incomparable: Callable[[], str] = str) -> Row:
    """Mark the best measured values of a row, or say why none is marked.

    Values that are printed alike are equally good. If all are, there is none to mark, and nothing to say.

    Args:
        row: the row.
        controls: labels of controls, which are never marked.
        incomparable: says why the values cannot be compared; empty if they can.
    """
    printed = [
        None if cell.measured is None or cell.method in controls else float(number(cell.measured, row.unit))
        for cell in row.cells
    ]
    values = [value for value in printed if value is not None]
    if row.direction is None or not values:
        return row
    if len(values) == 1:
        return replace(row, unmarked=_only_one(row, printed))
    if min(values) == max(values):
        return row
    if reason := incomparable():
        return replace(row, unmarked=reason)
    best = max(values) if row.direction == "up" else min(values)
    cells = (replace(cell, best=value == best) for cell, value in zip(row.cells, printed, strict=True))
    return replace(row, cells=tuple(cells))


def _only_one(row: Row, printed: Iterable[float | None]) -> str:
    """That there is nothing to compare the only markable value with."""
    (method,) = (cell.method for cell, value in zip(row.cells, printed, strict=True) if value is not None)
    others = sum(cell.measured is not None for cell in row.cells) > 1
    return (
        f"{title_of(str(method))} is the only method with a value{' that is not a control' if others else ''}"
    )


def count_row(title: str, metric: str, counts: Mapping[str, int]) -> Row:
    """A row of counts by method."""
    cells = (Cell(method, metric, count, count, count) for method, count in counts.items())
    return Row(title, None, "count", tuple(cells))
