"""SISE's metrics over its threshold μ, as in the authors' ablation, beside the adaptive selectors."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adasise_bench.metrics.registry import DEFAULT, METRICS
from adasise_bench.records.run import Run
from adasise_bench.reporting.figures.basis import (
    Entry,
    MethodRecords,
    basis,
    data_of,
    entries_of,
    folders,
    records_of,
)
from adasise_bench.reporting.figures.style import PUBLISHED, blank, legend_above, look, named, note, styled
from adasise_bench.reporting.published import VOC, published_scores
from adasise_bench.reporting.tables.grid import ARROWS
from adasise_bench.utils.errors import DataError

_COLUMNS = 2


class Curves(NamedTuple):
    """One metric: its means by μ, measured and published, and those of the adaptive selectors by label."""

    measured: dict[float, float]
    published: dict[float, float]
    adaptive: dict[str, float]


@styled
def draw(runs: Sequence[Run], model: str) -> Figure:
    """Draw every metric over μ: points for measured and published means, lines for adaptive selectors.

    Only methods with hard fusion take part: SISE and Ada-SISE under any label.

    Args:
        runs: in order of precedence; metrics and run-times may come from different runs.
        model: architecture.

    Raises:
        ConfigError: the runs do not fit together.
        DataError: fewer than two values of μ were measured.
    """
    entries = {
        label: entry for label, entry in entries_of(runs, model).items() if entry.get("fusion") == "hard"
    }
    groups = {label: group for label, group in records_of(runs, model).items() if label in entries}
    scored = {label: group.having("score") for label, group in groups.items()}
    used = {label: group for label, group in scored.items() if len(group)}
    fixed = {entries[label]["mu"] for label in used if entries[label]["selector"] == "fixed"}
    if len(fixed) < 2:
        raise DataError(
            f"{folders(runs)}: {len(fixed)} value of the threshold mu on {model}, which makes no curve; "
            "use adasise-bench run --config mu_ablation"
        )
    on_voc = data_of(runs, model) == VOC
    paper = published_scores("sise", "mu_ablation").get(model, {}) if on_voc else {}
    curves = {metric: curves_of(used, entries, paper, metric) for metric in DEFAULT}
    curves = {metric: curve for metric, curve in curves.items() if curve.measured or curve.published}

    rows = -(-len(curves) // _COLUMNS)
    figure = blank(0.25 + 1.05 * rows)
    grid = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False)
    for axes in grid.flat[len(curves) :]:
        axes.remove()
    for axes, (metric, curve) in zip(grid.flat, curves.items(), strict=False):
        _panel(axes, metric, curve)
    for axes in grid.flat[len(curves) - _COLUMNS : len(curves)]:
        axes.set_xlabel("μ")
        axes.xaxis.set_tick_params(labelbottom=True)
    legend_above(figure)
    note(figure, f"{basis(runs, model, used.values())}{_timing_note(used)}")
    return figure


def curves_of(
    records: Mapping[str, MethodRecords],
    entries: Mapping[str, Entry],
    paper: Mapping[str, Mapping[str, float]],
    metric: str,
) -> Curves:
    """The means of one metric, if it was measured; ``paper`` has the published figures by μ."""
    means = {label: group.mean(metric) for label, group in records.items()}
    means = {label: mean for label, mean in means.items() if not math.isnan(mean)}
    fixed = {entries[label]["mu"]: means[label] for label in means if entries[label]["selector"] == "fixed"}
    return Curves(
        dict(sorted(fixed.items())),
        {float(mu): row[metric] for mu, row in paper.items() if metric in row},
        {label: mean for label, mean in means.items() if entries[label]["selector"] != "fixed"},
    )


def _panel(axes: Axes, name: str, curves: Curves) -> None:
    metric = METRICS[name]
    arrow = f" {ARROWS[metric.direction]}" if metric.direction else ""
    axes.set_title(f"{metric.title}{arrow}" + ("" if curves.measured else "\n(published)"))
    style = look(0)
    axes.plot(*_points(curves.measured), style.dashes, color=style.color, marker=style.marker,
              label="SISE, measured")  # fmt: skip
    if curves.published:
        axes.plot(*_points(curves.published), color="0.45", linewidth=0.8, label="SISE, published",
                  **PUBLISHED)  # fmt: skip
    for position, (label, mean) in enumerate(curves.adaptive.items(), 1):
        style = look(position)
        axes.axhline(mean, color=style.color, linestyle=style.dashes, label=named(label))
    mus = sorted({*curves.measured, *curves.published})
    axes.set_xticks(mus, [f"{mu:g}" for mu in mus])
    axes.margins(y=0.12)
    axes.grid(axis="y")
    if metric.unit == "seconds":
        axes.set_yscale("log")


def _points(curve: Mapping[float, float]) -> tuple[list[float], list[float]]:
    return list(curve), list(curve.values())


def _timing_note(used: Mapping[str, MethodRecords]) -> str:
    timed = [group.having("seconds") for group in used.values()]
    timed = [group for group in timed if len(group)]
    if not timed:
        return " Run-time was not measured."
    devices = "; ".join(dict.fromkeys(str(group.timed_on) for group in timed))
    per_method = sorted(set(map(len, timed)))
    number = str(per_method[0]) if len(per_method) == 1 else f"{per_method[0]} to {per_method[-1]}"
    return f" Run-time of {number} explanations per method on {devices}."
