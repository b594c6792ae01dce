"""Table 2 of Ada-SISE: how many feature maps a method keeps per block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from adasise_bench.reporting.published import published_table2
from adasise_bench.reporting.statistics import Estimate, estimate_means
from adasise_bench.reporting.tables.model import Cell, Row, Table, counted_pairs, title_of
from adasise_bench.reporting.tables.scores import PAIR, methods_of

_METRICS = {"maps_kept": "kept", "maps_live": "kept and live", "maps_positive": "positive"}
"""Columns of the records, and what their rows are called. A live map is not constant."""


def table2(
    model: str, data: str, records: pd.DataFrame, names: Mapping[str, str], available: Sequence[int]
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
    estimates = estimate_means(pd.concat(counts, axis=1)) if counts else {}
    sizes = {len(maps) for maps in counts.values()}
    rows = [_row("Available", _available(available, paper.get("available")))]
    for (method, metric), maps in counts.items():
        shown = metric == "maps_kept" and names.get(method) == method
        title = f"{title_of(method)}, {_METRICS[metric]}"
        if len(sizes) > 1:
            title += f" ({counted_pairs(len(maps))})"
        means = [estimates[method, metric, block] for block in maps.columns]
        rows.append(_row(title, _means(method, metric, means, paper.get(method) if shown else None)))
    title = f"Table 2, {title_of(model)}: mean number of feature maps per block"
    if len(sizes) == 1:
        title += f" ({counted_pairs(sizes.pop())})"
    blocks = tuple(f"p{block}" for block in range(1, len(available) + 1))
    return Table("table2", model, title, blocks, tuple(rows))


def _counts(records: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """Maps per explanation by method and metric, one column per block; without what was not recorded."""
    counts = {}
    for method in methods_of(records):
        group = records[records["method"] == method].set_index(PAIR)
        for metric in _METRICS:
            lists = group[metric].dropna()
            if len(lists):
                counts[method, metric] = pd.DataFrame(lists.tolist(), index=lists.index)
    return counts


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
