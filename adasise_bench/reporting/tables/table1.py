"""Table 1 of Ada-SISE, and the paired differences of its methods."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from adasise_bench.metrics.registry import METRICS, Metric
from adasise_bench.records.columns import NetworkRecords, present_codes
from adasise_bench.reporting.tables.model import Cell, Row, Table, title_of
from adasise_bench.reporting.tables.rows import Published, count_row, measured_rows
from adasise_bench.reporting.tables.scores import Scores


def table1(
    model: str,
    heading: str,
    records: NetworkRecords,
    scores: Scores,
    metrics: Mapping[str, Metric],
    published: Published,
) -> Table:
    """The metrics of every method on one network, and their pairs; the title begins with ``heading``."""
    place = {method: number for number, method in enumerate(records.methods)}
    of_method = {method: records.present[:, place[method]] for method in scores.methods}
    named = {method: present & records.named for method, present in of_method.items()}
    pairs = {method: int(present.sum()) for method, present in named.items()}
    flags, errors = records.values("degenerate"), records.errors()[0]
    rows = [
        *measured_rows(scores, metrics, published, of=pairs),
        Row(
            "Boxes' area share, %",
            None,
            "percent",
            tuple(_box_share(records, method) for method in scores.methods),
        ),
        count_row("Pairs", "pairs", pairs),
        count_row("Images", "images", {method: records.images(chosen) for method, chosen in named.items()}),
        Row(
            "Degenerate maps",
            None,
            "count",
            tuple(
                Cell(method, "degenerate", int(np.nansum(own)), int((~np.isnan(own)).sum()), pairs[method])
                for method, own in ((name, flags[:, place[name]]) for name in scores.methods)
            ),
        ),
        Row(
            "Errors",
            None,
            "count",
            tuple(
                Cell(method, "errors", int((own >= 0).sum()), total, total)
                for method, own in ((name, errors[:, place[name]]) for name in scores.methods)
                for total in [int(of_method[method].sum())]
            ),
        ),
    ]
    title = f"{heading}: explanation quality and run-time"
    return Table("table1", model, title, tuple(scores.methods), tuple(rows))


def _box_share(records: NetworkRecords, method: str) -> Cell:
    """The boxes' mean share over a method's own pairs, if a record of any method has it."""
    rows = records.first_rows[:, records.methods.index(method)]
    own = np.flatnonzero((rows >= 0) & records.named)
    share = records.shared("box_share")[own[np.argsort(rows[own])]]
    share = share[~np.isnan(share)]
    return Cell(method, "box_share", float(share.mean()) if len(share) else None, len(share), len(own))


def difference_table(
    model: str, differences: Scores, metrics: Mapping[str, Metric], published: Published
) -> Table:
    """How much every method differs from ``differences.against`` on the pairs that both explained."""
    against = str(differences.against)
    present = pd.DataFrame(False, differences.pairs, differences.methods)
    for column in dict.fromkeys(metric.column for metric in METRICS.values()):
        present |= differences.read(column).notna()
    pairs = {method: int(present[method].sum()) for method in differences.methods}
    codes = np.asarray(differences.pairs.codes[0])
    images = {method: len(present_codes(codes[present[method]])) for method in differences.methods}
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
