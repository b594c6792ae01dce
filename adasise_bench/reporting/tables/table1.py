"""Table 1 of Ada-SISE, and the paired differences of its methods."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from adasise_bench.metrics.registry import Metric
from adasise_bench.reporting.tables.model import Cell, Row, Table, title_of
from adasise_bench.reporting.tables.rows import Published, count_row, measured_rows
from adasise_bench.reporting.tables.scores import PAIR, Scores


def table1(
    model: str,
    heading: str,
    records: pd.DataFrame,
    scores: Scores,
    metrics: Mapping[str, Metric],
    published: Published,
) -> Table:
    """The metrics of every method on one network, and their pairs; the title begins with ``heading``."""
    groups = {method: records[records["method"] == method] for method in scores.methods}
    named = {method: group.dropna(subset=["class_name"]) for method, group in groups.items()}
    pairs = {method: len(group) for method, group in named.items()}
    explained = {method: group["degenerate"].dropna() for method, group in groups.items()}
    rows = [
        *measured_rows(scores, metrics, published, of=pairs),
        Row(
            "Boxes' area share, %",
            None,
            "percent",
            tuple(_box_share(scores, method, group) for method, group in named.items()),
        ),
        count_row("Pairs", "pairs", pairs),
        count_row(
            "Images", "images", {method: group["image_id"].nunique() for method, group in named.items()}
        ),
        Row(
            "Degenerate maps",
            None,
            "count",
            tuple(
                Cell(method, "degenerate", int(flags.sum()), len(flags), pairs[method])
                for method, flags in explained.items()
            ),
        ),
        Row(
            "Errors",
            None,
            "count",
            tuple(
                Cell(method, "errors", int(group["error"].notna().sum()), len(group), len(group))
                for method, group in groups.items()
            ),
        ),
    ]
    title = f"{heading}: explanation quality and run-time"
    return Table("table1", model, title, tuple(groups), tuple(rows))


def _box_share(scores: Scores, method: str, group: pd.DataFrame) -> Cell:
    """The boxes' mean share over a method's own pairs, if a record of any method has it."""
    share = scores.box_share.reindex(pd.MultiIndex.from_frame(group[PAIR])).dropna()
    return Cell(method, "box_share", float(share.mean()) if len(share) else None, len(share), len(group))


def difference_table(
    model: str, differences: Scores, metrics: Mapping[str, Metric], published: Published
) -> Table:
    """How much every method differs from ``differences.against`` on the pairs that both explained."""
    against = str(differences.against)
    present = {
        method: differences.values.loc[:, (slice(None), [method])].dropna(how="all").index
        for method in differences.methods
    }
    pairs = {method: len(index) for method, index in present.items()}
    images = {method: index.get_level_values("image_id").nunique() for method, index in present.items()}
    rows = [
        *measured_rows(differences, metrics, published_differences(published, against), of=pairs),
        count_row("Pairs", "pairs", pairs),
        count_row("Images", "images", images),
    ]
    title = f"{title_of(model)}: paired differences from {title_of(against)}"
    return Table("differences", model, title, tuple(differences.methods), tuple(rows))


def published_differences(published: Published, against: str) -> Published:
    """The paper's figures minus those of ``against``."""
    base = published.get(against, {})
    return {
        method: {
            metric: round(value - base[metric], 6) for metric, value in figures.items() if metric in base
        }
        for method, figures in published.items()
    }
