"""Fig. 4 of Ada-SISE: run-time by phase, one bar per method."""

from __future__ import annotations

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
from adasise_bench.reporting.figures.style import PUBLISHED, blank, legend_above, look, named, note, styled
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


@styled
def draw(runs: Sequence[Run], model: str, methods: Iterable[str] = ()) -> Figure:
    """Draw mean seconds per explanation as stacked bars of phases, and published totals as markers.

    The published totals have an axis of their own. Another machine made them, so only their proportions can
    be compared, and not their lengths.

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

    figure = blank(0.4 + 0.44 * len(means) + (0.3 if paper else 0))
    axes = figure.add_subplot()
    _bars(axes, means, totals)
    axes.set_yticks(range(len(means)), [named(label) for label in means])
    axes.set_ylim(len(means) - 0.35, -0.6)
    axes.set_xlim(0, 1.22 * max(totals.values()))
    axes.set_xlabel("run-time per explanation, s")
    if paper:
        _published(axes, list(means), totals, paper)
    legend_above(figure)
    devices = dict.fromkeys(str(group.timed_on) for group in timed.values())
    note(figure, f"{basis(runs, model, timed.values())} Measured on {'; '.join(devices)}.")
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


def _published(
    axes: Axes, labels: Sequence[str], totals: Mapping[str, float], paper: Mapping[str, float]
) -> None:
    """Markers over the bars; the largest published total is at the end of the same method's bar."""
    longest = max(paper, key=lambda label: paper[label])
    above = axes.twiny()
    above.set_xlim(0, axes.get_xlim()[1] * paper[longest] / totals[longest])
    above.spines.top.set_visible(True)
    above.set_xlabel(f"published, s ({published('ada_sise')['figure4']['device']})")
    places = [labels.index(label) - _THICKNESS / 2 - 0.1 for label in paper]
    above.plot(list(paper.values()), places, linestyle="none", label="published", **PUBLISHED)
