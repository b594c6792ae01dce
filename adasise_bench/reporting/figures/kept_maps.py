"""Table 2 of Ada-SISE as a figure: feature maps kept per block."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.figure import Figure

from adasise_bench.records.run import Run
from adasise_bench.reporting.figures.basis import (
    MethodRecords,
    basis,
    data_of,
    entries_of,
    folders,
    records_of,
)
from adasise_bench.reporting.figures.style import PUBLISHED, blank, legend_above, look, named, note, styled
from adasise_bench.reporting.published import published_table2
from adasise_bench.utils.errors import DataError


@styled
def draw(runs: Sequence[Run], model: str, methods: Iterable[str] = ()) -> Figure:
    """Draw the mean share of each block's maps that a method keeps, in percent, with Table 2's as markers.

    Shares are drawn because blocks differ in size by a factor of 32. The number of maps that each block has
    is written under it.

    Args:
        runs: in order of precedence.
        model: architecture.
        methods: labels to show; all that select maps by default.

    Raises:
        ConfigError: the runs do not fit together, or lack one of ``methods``.
        DataError: none of the methods selects feature maps.
    """
    groups = records_of(runs, model, methods)
    kept = {label: group.having("maps_kept") for label, group in groups.items()}
    kept = {label: group for label, group in kept.items() if len(group)}
    if not kept:
        raise DataError(
            f"{folders(runs)}: no feature maps were selected on {model}; run SISE or Ada-SISE on it"
        )
    available = next(
        np.array(run.environment["models"][model]["maps_available"])
        for run in runs
        if model in run.environment["models"]
    )
    paper = published_table2(model, data_of(runs, model))
    entries = entries_of(runs, model)

    figure = blank(1.7)
    axes = figure.add_subplot()
    blocks = np.arange(len(available))
    width = 0.84 / len(kept)
    for position, (label, group) in enumerate(kept.items()):
        places = blocks + (position - (len(kept) - 1) / 2) * width
        style = look(position)
        share = 100 * mean_kept(group, len(available)) / available
        axes.bar(places, share, width, color=style.color, hatch=style.hatch, edgecolor="black",
                 label=named(label))  # fmt: skip
        if label in paper and entries[label]["name"] == label:
            share = 100 * np.array(paper[label]) / np.array(paper["available"])
            axes.plot(places, share, linestyle="none", label="published (Table 2)", **PUBLISHED)
    axes.set_xticks(blocks, [f"block {block}\n{count}" for block, count in enumerate(available, 1)])
    axes.set_ylabel("maps kept, %")
    axes.set_xlabel("feature maps available")
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    legend_above(figure)
    note(figure, basis(runs, model, kept.values()))
    return figure


def mean_kept(records: MethodRecords, blocks: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """(B,) mean number of maps kept per block."""
    return np.array([records.mean("maps_kept", block) for block in range(blocks)])
