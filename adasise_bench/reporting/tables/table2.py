"""Table 2 of Ada-SISE: how many feature maps a method keeps per block."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from adasise_bench.records.columns import NetworkRecords
from adasise_bench.reporting.published import published_table2
from adasise_bench.reporting.statistics import Estimate, estimate_means
from adasise_bench.reporting.tables.model import Cell, Row, Table, counted_pairs, title_of

_METRICS = {"maps_kept": "kept", "maps_live": "kept and live", "maps_positive": "positive"}
"""Columns of the records, and what their rows are called. A live map is not constant."""


def table2(
    model: str, data: str, records: NetworkRecords, names: Mapping[str, str], available: Sequence[int]
) -> Table:
    """The mean number of maps per block that were kept, are also live, and have a positive gradient.

    Args:
        model: architecture.
        data: name of the data set; the paper's figures are VOC 2007's.
        records: of the model.
        names: the method of every label.
        available: maps per block.
    """
    paper = published_table2(model, data)
    counts = _counts(records)
    estimates = estimate_means(_frames(records, len(available), counts)) if counts else {}
    sizes = set(counts.values())
    rows = [_row("Available", _available(available, paper.get("available")))]
    for (method, metric), pairs in counts.items():
        shown = metric == "maps_kept" and names.get(method) == method
        title = f"{title_of(method)}, {_METRICS[metric]}"
        if len(sizes) > 1:
            title += f" ({counted_pairs(pairs)})"
        means = [estimates[method, metric, block] for block in range(len(available))]
        rows.append(_row(title, _means(method, metric, means, paper.get(method) if shown else None)))
    title = f"Table 2, {title_of(model)}: mean number of feature maps per block"
    if len(sizes) == 1:
        title += f" ({counted_pairs(sizes.pop())})"
    blocks = tuple(f"p{block}" for block in range(1, len(available) + 1))
    return Table("table2", model, title, blocks, tuple(rows))


def _counts(records: NetworkRecords) -> dict[tuple[str, str], int]:
    """The number of explanations that have maps, by method and metric; without what was not recorded."""
    found = {metric: np.isfinite(records.values(metric, 0)).sum(axis=0) for metric in _METRICS}
    return {
        (method, metric): int(count)
        for place, method in enumerate(records.methods)
        for metric in _METRICS
        if (count := found[metric][place])
    }


def _frames(
    records: NetworkRecords, blocks: int, counts: Collection[tuple[str, str]]
) -> Iterator[pd.DataFrame]:
    """Maps per explanation: columns method, metric and block; only of pairs that have any."""
    metrics = [metric for metric in _METRICS if any(metric == name for _, name in counts)]
    having = np.logical_or.reduce([np.isfinite(records.values(metric, 0)).any(axis=1) for metric in metrics])
    chosen = np.flatnonzero(having)
    index = records.pairs[chosen]
    for metric in metrics:
        methods = [method for method, name in counts if name == metric]
        places = np.array([records.methods.index(method) for method in methods])
        for block in range(blocks):
            columns = pd.MultiIndex.from_tuples([(method, metric, block) for method in methods])
            yield pd.DataFrame(records.values(metric, block)[np.ix_(chosen, places)], index, columns)


def _row(title: str, cells: Iterator[Cell]) -> Row:
    return Row(title, None, "maps", tuple(cells))


def _available(maps: Sequence[int], paper: Sequence[int] | None) -> Iterator[Cell]:
    for index, count in enumerate(maps):
        figure = paper[index] if paper else None
        yield Cell(None, f"maps_available_p{index + 1}", count, None, None, figure)


def _means(
    method: str, metric: str, estimates: Sequence[Estimate], paper: Sequence[int] | None
) -> Iterator[Cell]:
    for index, estimate in enumerate(estimates):
        yield Cell(
            method,
            f"{metric}_p{index + 1}",
            estimate.mean,
            n=estimate.pairs,
            of=estimate.pairs,
            published=paper[index] if paper else None,
            low=estimate.low,
            high=estimate.high,
            images=estimate.images,
        )
