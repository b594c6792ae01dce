"""Fig. 4 of Ada-SISE: run-time by phase, one bar per method."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adasise_bench.records.record import SCHEMA
from adasise_bench.records.run import Run
from adasise_bench.reporting.figures.basis import (
    MethodRecords,
    basis,
    data_of,
    entries_of,
    folders,
    records_of,
)
from adasise_bench.reporting.figures.style import (
    PUBLISHED,
    blank,
    legend_above,
    logarithmic,
    look,
    named,
    note,
    styled,
)
from adasise_bench.reporting.published import VOC, published, published_table1
from adasise_bench.reporting.tables import number
from adasise_bench.utils.errors import DataError

PHASES = {
    name: name.removeprefix("seconds_").replace("_", " ")
    for name in SCHEMA.names
    if name.startswith("seconds_") and name != "seconds_plain_forward"
}
"""The columns of a record, and what the legend calls them."""

_UNDIVIDED = "all phases"
_THICKNESS = 0.42
_APART = 0.2


@styled
def draw(runs: Sequence[Run], model: str, methods: Iterable[str] = ()) -> Figure:
    """Draw mean seconds per explanation as stacked bars of phases.

    Where the paper has totals, a second panel shows them beside the measured totals, on one logarithmic axis.
    The bars are not on it, because the parts of a bar have no true lengths on a logarithmic axis.

    Args:
        runs: in order of precedence.
        model: architecture.
        methods: labels to show; all that were timed by default.

    Raises:
        ConfigError: the runs do not fit together, or lack one of ``methods``.
        DataError: no run-time was measured.
    """
    groups = records_of(runs, model, methods)
    timed = {label: group.having("seconds") for label, group in groups.items()}
    timed = {label: group for label, group in timed.items() if len(group)}
    if not timed:
        raise DataError(
            f"{folders(runs)}: no run-time of {model}; run it with share_forwards=false, as runtime.yaml does"
        )
    means = {label: mean_phases(group) for label, group in timed.items()}
    totals = {label: group.mean("seconds") for label, group in timed.items()}
    paper = published_totals(runs, model, timed)

    heights = [0.4 + 0.44 * len(means), 0.4 + 0.34 * len(paper)][: 2 if paper else 1]
    figure = blank(sum(heights))
    panels = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    _bars(panels[0], means, totals)
    for axes in panels[1:]:
        _compare(axes, totals, paper)
    legend_above(figure)
    devices = dict.fromkeys(str(group.timed_on) for group in timed.values())
    text = f"{basis(runs, model, timed.values())} Measured on {'; '.join(devices)}."
    note(figure, f"{text} Published: {published('ada_sise')['figure4']['device']}." if paper else text)
    return figure


def mean_phases(records: MethodRecords) -> dict[str, float]:
    """Mean seconds of every phase of a method, or only the total if it has no phases."""
    means = {title: records.mean(column) for column, title in PHASES.items()}
    known = {title: mean for title, mean in means.items() if not np.isnan(mean)}
    return known or {_UNDIVIDED: records.mean("seconds")}


def published_totals(runs: Sequence[Run], model: str, labels: Iterable[str]) -> dict[str, float]:
    """The paper's seconds (Table 1, whose ResNet-50 column is Fig. 4) for the methods of the paper."""
    entries = entries_of(runs, model)
    paper = published_table1().get(model, {}) if data_of(runs, model) == VOC else {}
    return {
        label: paper[label]["seconds"]
        for label in labels
        if label in paper and entries[label]["name"] == label
    }


def _bars(axes: Axes, means: Mapping[str, Mapping[str, float]], totals: Mapping[str, float]) -> None:
    """Stacked bars, each with its total at its end, and the numbers of its phases below."""
    ends = np.zeros(len(means))
    for index, phase in enumerate([*PHASES.values(), _UNDIVIDED]):
        if any(phase in phases for phases in means.values()):
            seconds = np.array([phases.get(phase, 0) for phases in means.values()])
            style = look(index)
            axes.barh(range(len(means)), seconds, _THICKNESS, ends, color=style.color, hatch=style.hatch,
                      edgecolor="black", label=phase)  # fmt: skip
            ends += seconds
    for position, (label, end) in enumerate(zip(means, ends, strict=True)):
        axes.annotate(f"{number(totals[label], 'seconds')} s", (end, position), (3, 0),
                      textcoords="offset points", va="center", fontweight="bold")  # fmt: skip
        if len(means[label]) > 1:
            parts = " + ".join(number(seconds, "seconds") for seconds in means[label].values())
            axes.annotate(
                parts, (0, position + _THICKNESS / 2), (2, -1), textcoords="offset points", va="top"
            )
    _name_rows(axes, list(means))
    axes.set_xlim(0, 1.22 * max(totals.values()))
    axes.set_xlabel("measured run-time per explanation, s")


def _compare(axes: Axes, totals: Mapping[str, float], paper: Mapping[str, float]) -> None:
    """The measured and the published total of every method that the paper has, both on one axis."""
    rows = np.arange(len(paper))
    axes.plot([totals[label] for label in paper], rows - _APART, linestyle="none", color="black",
              marker="o", label="measured total")  # fmt: skip
    axes.plot(list(paper.values()), rows + _APART, linestyle="none", label="published total", **PUBLISHED)
    _name_rows(axes, list(paper))
    logarithmic(axes, "x", [*(totals[label] for label in paper), *paper.values()])
    middle = math.prod(axes.get_xlim()) ** 0.5
    for row, seconds in enumerate(paper.values()):
        inwards = 5 if seconds < middle else -5
        axes.annotate(f"{number(seconds, 'seconds')} s", (seconds, row + _APART), (inwards, 0), va="center",
                      textcoords="offset points", ha="left" if inwards > 0 else "right")  # fmt: skip
    axes.grid(axis="x")
    axes.set_xlabel("run-time per explanation, s (logarithmic)")


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), [named(label) for label in labels])
    axes.set_ylim(len(labels) - 0.35, -0.6)
