"""Tables by class, object size, score and outcome: one table per metric, a row for each group of pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from adasise_bench.metrics.registry import Metric
from adasise_bench.reporting.tables.model import Row, Table, counted_pairs, title_of
from adasise_bench.reporting.tables.rows import measured_rows
from adasise_bench.reporting.tables.scores import Scores
from adasise_bench.utils.messages import printable

Grouping = Literal["class", "size", "score", "outcome"]

SIZES = {"small": 0.0, "medium": 6.25, "large": 25.0}
"""The smallest share of the network's input, in percent, that the union of a class's boxes covers, by size.
The bounds are squares of a quarter and of half the input's side. 25 % is also the upper bound of the
"difficult" pairs of Zhang et al. 2018 (Excitation Backprop)."""

LOW_SCORE, HIGH_SCORE = 0.01, 0.99
"""A softmax gives all classes of a picture 1 together. Where it gives another class nearly all, Drop and
Increase of this class are ratios and comparisons of numbers near 0; where this class has nearly all, hardly
anything can raise its score."""

OUTCOMES = {"ranked first": 1, "ranked 2 to 5": 2, "ranked below 5": 6}
"""Best place of the class among the data's classes by their scores of the whole picture, by outcome."""


def breakdown_tables(
    model: str, scores: Scores, metrics: Mapping[str, Metric], by: Grouping
) -> Iterator[Table]:
    """One table per metric, with a row for each group and one for all pairs."""
    groups = {
        name: measured_rows(scores.where(chosen), metrics, {}, group=name)
        for name, chosen in _groups(scores, by)
    }
    groups["all"] = measured_rows(scores, metrics, {})
    for index, row in enumerate(groups["all"]):
        rows = (_group_row(name, rows[index]) for name, rows in groups.items())
        name, title = f"by_{by}", f"{title_of(model)} by {by}"
        if scores.against is not None:
            name = f"differences_{name}"
            title += f", paired differences from {title_of(scores.against)}"
        yield Table(name, model, f"{title}: {row.title}", tuple(scores.methods), tuple(rows))


def _groups(scores: Scores, by: Grouping) -> Iterator[tuple[str, pd.Series[bool]]]:
    if by == "class":
        classes = scores.pairs.get_level_values("class_name")
        for name in sorted(set(classes)):
            yield name, pd.Series(classes == name, scores.pairs)
    elif by == "size":
        bounds = [*SIZES.values(), np.inf]
        for name, low, high in zip(SIZES, bounds, bounds[1:], strict=False):
            yield name, scores.box_share.ge(low) & scores.box_share.lt(high)
    elif by == "outcome":
        bounds = [*OUTCOMES.values(), np.inf]
        for name, low, high in zip(OUTCOMES, bounds, bounds[1:], strict=False):
            yield name, scores.rank.ge(low) & scores.rank.lt(high)
    else:
        yield f"under {LOW_SCORE:g}", scores.score.lt(LOW_SCORE)
        yield f"{LOW_SCORE:g} to {HIGH_SCORE:g}", scores.score.between(LOW_SCORE, HIGH_SCORE)
        yield f"over {HIGH_SCORE:g}", scores.score.gt(HIGH_SCORE)


def _group_row(group: str, row: Row) -> Row:
    pairs = row.cells[0].of
    return replace(row, title=f"{printable(group)} ({counted_pairs(pairs or 0)})")
