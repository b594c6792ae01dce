"""SISE's metrics over its threshold μ, as in the authors' ablation, beside the adaptive selectors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import pandas as pd
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
    explanations_each,
    folders,
    records_of,
)
from adasise_bench.reporting.figures.style import (
    PUBLISHED,
    Look,
    blank,
    legend_above,
    logarithmic,
    look,
    named,
    note,
    styled,
)
from adasise_bench.reporting.published import VOC, published_scores
from adasise_bench.reporting.statistics import Estimate, estimate_means
from adasise_bench.reporting.tables.grid import ARROWS
from adasise_bench.utils.errors import DataError

_COLUMNS = 2

_BESIDE = 0.13
"""Distance of the adaptive selectors' intervals from the last μ and from each other, as a share of the span
of μ."""

_FARTHEST = 0.52
"""Largest distance of the last of these intervals from the last μ; many selectors stand closer together."""

_LEAST_SPAN = 5.0
"""Percentage points of an axis; fewer would make noise look like a trend."""

_EDGE = 0.05
"""Space below 0 % and above 100 %, as a share of an axis, so that markers are not cut."""

_BAR, _MARKER = 0.9, 3.0
"""Points of the width of an interval's bar, and of a marker."""


class Curves(NamedTuple):
    """One metric by μ: SISE's measured and published means; and the adaptive selectors' means by label."""

    measured: dict[float, Estimate]
    published: dict[float, float]
    adaptive: dict[str, Estimate]

    def ends(self) -> list[float]:
        """Every mean, and both ends of its interval if it has one."""
        estimates = [*self.measured.values(), *self.adaptive.values()]
        ends = [value for one in estimates for value in (one.mean, one.low, one.high) if value is not None]
        return [*ends, *self.published.values()]


@styled
def draw(runs: Sequence[Run], model: str) -> Figure:
    """Draw every metric over μ: points for measured and published means, lines for adaptive selectors.

    Only methods with hard fusion take part: SISE and Ada-SISE under any label. Measured means have their
    95 % intervals, which are those of the tables. All panels in percent have the same span, so that equal
    slopes are equal differences. An adaptive selector has no μ: its interval stands beside the last μ.

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
    means = _estimates(used)
    curves = {metric: curves_of(means[metric], entries, paper, metric) for metric in DEFAULT}
    curves = {metric: curve for metric, curve in curves.items() if curve.measured or curve.published}
    span = max((_span(curve.ends()) for name, curve in curves.items() if _is_percent(name)), default=0.0)

    rows = -(-len(curves) // _COLUMNS)
    figure = blank(0.25 + 1.05 * rows)
    grid = figure.subplots(rows, _COLUMNS, sharex=True, squeeze=False)
    for axes in grid.flat[len(curves) :]:
        axes.remove()
    for axes, (metric, curve) in zip(grid.flat, curves.items(), strict=False):
        _panel(axes, metric, curve, span)
    for axes in grid.flat[len(curves) - _COLUMNS : len(curves)]:
        axes.set_xlabel("μ")
        axes.xaxis.set_tick_params(labelbottom=True)
    legend_above(figure)
    note(figure, f"{basis(runs, model, used.values())}{_timing_note(used)}{_axes_note(curves, span)}")
    return figure


def curves_of(
    means: Mapping[str, Estimate],
    entries: Mapping[str, Entry],
    paper: Mapping[str, Mapping[str, float]],
    metric: str,
) -> Curves:
    """One metric by μ, from its means by label; ``paper`` has the published figures by μ."""
    fixed = {entries[label]["mu"]: means[label] for label in means if entries[label]["selector"] == "fixed"}
    return Curves(
        dict(sorted(fixed.items())),
        {float(mu): row[metric] for mu, row in paper.items() if metric in row},
        {label: mean for label, mean in means.items() if entries[label]["selector"] != "fixed"},
    )


def _estimates(records: Mapping[str, MethodRecords]) -> dict[str, dict[str, Estimate]]:
    """The means with their intervals by metric and label; a label without a value is left out."""
    means: dict[str, dict[str, Estimate]] = {metric: {} for metric in DEFAULT}
    for average in {METRICS[metric].average for metric in DEFAULT}:
        frames = (
            pd.DataFrame({(metric, label): group.by_pair(metric) for label, group in records.items()})
            for metric in DEFAULT
            if METRICS[metric].average == average
        )
        for column, one in estimate_means(frames, average).items():
            metric, label = cast(tuple[str, str], column)
            if one.mean is not None:
                means[metric][label] = one
    return means


def _panel(axes: Axes, name: str, curves: Curves, span: float) -> None:
    metric = METRICS[name]
    arrow = f" {ARROWS[metric.direction]}" if metric.direction else ""
    axes.set_title(f"{metric.title}{arrow}" + ("" if curves.measured else "\n(published)"))
    mus = sorted({*curves.measured, *curves.published})
    style = look(0)
    _points(axes, list(curves.measured), list(curves.measured.values()), style, named("sise"))
    if curves.published:
        axes.plot(list(curves.published), list(curves.published.values()), color="0.45", linewidth=0.8,
                  zorder=1.9, label=f"{named('sise')}, published", **PUBLISHED)  # fmt: skip
    step = min(_BESIDE, _FARTHEST / max(1, len(curves.adaptive)))
    for position, (label, one) in enumerate(curves.adaptive.items(), 1):
        style = look(position)
        axes.axhline(cast(float, one.mean), color=style.color, linestyle=style.dashes, linewidth=0.8)
        beside = mus[-1] + step * position * (mus[-1] - mus[0])
        _points(axes, [beside], [one], style, named(label))
    axes.set_xticks(mus, [f"{mu:g}" for mu in mus])
    axes.margins(x=0.06)
    axes.grid(axis="y")
    ends = curves.ends()
    if metric.unit == "seconds":
        logarithmic(axes, "y", ends)
    elif _is_percent(name):
        axes.set_ylim(*_limits(ends, span))


def _points(axes: Axes, mus: Sequence[float], estimates: Sequence[Estimate], style: Look, label: str) -> None:
    """Means as markers on a line, each with its interval; small, so that the intervals can be seen."""
    axes.plot(mus, [cast(float, one.mean) for one in estimates], color=style.color, marker=style.marker,
              markersize=_MARKER, linestyle=style.dashes, label=label)  # fmt: skip
    for mu, one in zip(mus, estimates, strict=True):
        if one.low is not None and one.high is not None:
            axes.vlines(mu, one.low, one.high, color=style.color, linewidth=_BAR)


def _is_percent(metric: str) -> bool:
    return METRICS[metric].unit == "percent"


def _span(values: Sequence[float]) -> float:
    """Percentage points that an axis needs to show these values and some space around them."""
    return max(_LEAST_SPAN, 1.15 * (max(values) - min(values)))


def _limits(values: Sequence[float], span: float) -> tuple[float, float]:
    """An axis of this span around the values, moved where it would go below 0 % or above 100 %."""
    middle = (max(values) + min(values)) / 2
    low = min(middle - span / 2, 100 + _EDGE * span - span)
    low = max(low, -_EDGE * span)
    return low, low + span


def _axes_note(curves: Mapping[str, Curves], span: float) -> str:
    bars = " Bars: 95 % intervals." if any(_has_interval(curve) for curve in curves.values()) else ""
    seconds = "; the axis in s is logarithmic" if "seconds" in curves else ""
    return f"{bars} All axes in % span {span:.3g} points and need not start at 0{seconds}."


def _has_interval(curve: Curves) -> bool:
    return any(one.low is not None for one in [*curve.measured.values(), *curve.adaptive.values()])


def _timing_note(used: Mapping[str, MethodRecords]) -> str:
    timed = [group.having("seconds") for group in used.values()]
    timed = [group for group in timed if len(group)]
    if not timed:
        return " Run-time was not measured."
    devices = "; ".join(dict.fromkeys(str(group.timed_on) for group in timed))
    return f" Run-time of {explanations_each(timed)} on {devices}."
