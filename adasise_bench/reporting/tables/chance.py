"""What maps get that do not look at the picture, as a table like that of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adasise_bench.data.rules import Rules, Ties
from adasise_bench.metrics.registry import METRICS
from adasise_bench.reporting.tables.breakdown import breakdown_tables
from adasise_bench.reporting.tables.model import Table, Tables
from adasise_bench.reporting.tables.notes import statistics_notes
from adasise_bench.reporting.tables.rows import count_row, measured_rows
from adasise_bench.reporting.tables.scores import Scores
from adasise_bench.reporting.tables.setting_notes import rules_notes
from adasise_bench.utils.messages import printable

LOCATED = ("ebpg", "bbox", "miou", "pointing")
"""The metrics that have chance levels: those that ask whether a map lies on the object."""

SIGMAS = (0.25, 0.1)
"""Standard deviations of the Gaussians in the middle, as shares of the side."""

RANDOM_TIES = "Uniform, equal pixels at random"
TIES = "Uniform, equal pixels by the rule for ties"
GAUSSIANS = {sigma: f"Centre Gaussian, sigma {sigma:g}" for sigma in SIGMAS}
CENTRE = "Centre pixel"
FITTED_PIXEL = "Best pixel, fitted on the same pairs"
PIXEL = "Best pixel, cross-fitted"
FITTED_CLASS_PIXEL = "Best pixel of each class, fitted on the same pairs"
CLASS_PIXEL = "Best pixel of each class, cross-fitted"
MAP = "Best map for each metric, cross-fitted"
CLASS_MAP = "Best map for each metric and class, cross-fitted"

LEVELS = (RANDOM_TIES, TIES, *GAUSSIANS.values(), CENTRE, FITTED_PIXEL, PIXEL, FITTED_CLASS_PIXEL,
          CLASS_PIXEL, MAP, CLASS_MAP)  # fmt: skip
"""The image-blind maps, as they are titled."""


_TIE_RULES: Mapping[Ties, str] = {
    "row-major": "takes equal pixels line by line from the top",
    "strict": "takes none of the equal pixels at the cut",
}


@dataclass(frozen=True)
class ChanceLevels:
    """What maps get that do not look at the picture.

    Attributes:
        values: percent, one row per pair (``image_id``, ``class_name``) and a column per metric and level;
            NaN where a level has no value.
        box_share: percent of the input inside the region of each pair.
        data: name of the data set.
        input: how pictures enter the network, in words.
        covered: (H, W) percent of the pairs whose region covers a pixel; ``None`` where the inputs' shapes
            differ.
        rules: the rules for ties and corners that they follow.
        unusable: why annotations could not be used, one line for each.
    """

    values: pd.DataFrame
    box_share: pd.Series[float]
    data: str
    input: str
    covered: NDArray[np.float64] | None
    rules: Rules
    unusable: tuple[str, ...]


def chance_tables(levels: ChanceLevels, *, by_class: bool = False) -> Tables:
    """A line for each image-blind map, and a column for each metric; by class, a table for each metric."""
    values = levels.values.sort_index()
    scores = Scores(
        list(LEVELS),
        lambda column: values.loc[:, [column]].droplevel(0, axis=1).reindex(columns=list(LEVELS)),
        levels.box_share.to_frame("box_share").reindex(values.index),
        pd.DataFrame(index=values.index),
        dict.fromkeys(LEVELS),
        controls=frozenset(LEVELS),  # none of them is the best of anything
    )
    metrics = {name: METRICS[name] for name in LOCATED}
    if by_class:
        tables = [
            replace(table, title=f"Without looking at the picture, by class: {METRICS[name].title}")
            for name, table in zip(metrics, breakdown_tables("", scores, metrics, "class"), strict=True)
        ]
    else:
        rows = measured_rows(scores, metrics, {})
        pairs, images = len(levels.values), levels.values.index.get_level_values("image_id").nunique()
        rows += [
            count_row("Pairs", "pairs", dict.fromkeys(LEVELS, pairs)),
            count_row("Images", "images", dict.fromkeys(LEVELS, images)),
        ]
        title = f"{levels.data}: chance levels, without looking at the picture"
        tables = [Table("chance", "", title, LEVELS, tuple(rows))]
    return Tables(tuple(tables), tuple(map(printable, _notes(levels, tables))))


def _notes(levels: ChanceLevels, tables: Sequence[Table]) -> Iterator[str]:
    if levels.unusable:
        yield f"Annotations that cannot be used: {len(levels.unusable)}, the first: {levels.unusable[0]}"
    yield f"{levels.data}, input {levels.input}; from the annotations alone, without images or a network."
    yield (
        "Cross-fitted: the images of the whole data set are divided into two halves by their names, and "
        "every pair is held against what was found from the other half. Fitted on the same pairs: found from "
        "the very pairs that it is held against, which makes it too high."
    )
    yield (
        "Equal pixels at random: the mean over all their orders. The rule for ties "
        f"{_TIE_RULES[levels.rules.ties]}; the maps of one pixel follow it for the pixels beside it."
    )
    yield from rules_notes(levels.rules.model_dump(include={"ties", "corners"}))
    if levels.covered is None:
        yield "Maps are fitted only where all inputs have one shape (data.resize: stretch)."
    yield from statistics_notes(tables)
