"""What a new baseline changes in an earlier one, in lines for people."""

from __future__ import annotations

from collections.abc import Iterator

from adasise_bench.metrics.registry import METRICS, QUALITY
from adasise_bench.records import environment
from adasise_bench.regression.baseline import Baseline
from adasise_bench.regression.comparison import SPEED, Finding, Limits, compare
from adasise_bench.regression.values import MAPS
from adasise_bench.reporting.tables.model import counted_pairs, title_of

_ANY_CHANGE = Limits([("", 0.0)], [("", 0.0)], untimed="run-times are never equal")
_TITLES = {MAPS: "maps kept", "pairs": "pairs", "errors": "errors", "degenerate": "degenerate maps"}


def changes(old: Baseline, new: Baseline) -> Iterator[str]:
    """One line for each setting, machine, method and metric that differs; none if the values are equal.

    Run-times are left out, because they are never the same twice, but that there are none any more is told.

    Args:
        old: what a file holds.
        new: what would replace it.
    """
    yield from environment.differences(old.identity, new.identity)
    yield from environment.differences(old.made_by, new.made_by)
    before, now = (side.values.groups.keys() for side in (old, new))
    for word, gone in (("removed", before - now), ("added", now - before)):
        yield from (f"{title_of(method)} on {title_of(model)}: {word}" for model, method in sorted(gone))
    for finding in compare(old.values, new.values, _ANY_CHANGE):
        if (finding.model, finding.method) in before & now and (change := _change(finding)):
            yield f"{title_of(finding.method)} on {title_of(finding.model)}: {change}"
    timed = [
        any(side.values.column("seconds", rows).notna().any() for rows in side.values.groups.values())
        for side in (old, new)
    ]
    if timed[0] != timed[1]:
        yield f"run-times: {'removed' if timed[0] else 'added'}"


def _change(finding: Finding) -> str:
    """What a check found that is not equal in both; empty if all is."""
    if finding.check in QUALITY or finding.check == MAPS:
        if finding.verdict == "passed" or finding.base is None or finding.new is None:
            return ""  # where there is no value any more, the number of errors has changed
        title = METRICS[finding.check].title if finding.check in QUALITY else _TITLES[finding.check]
        mean = f"mean {finding.base:.4f} -> {finding.new:.4f}"
        most = f"at most {finding.largest:+.4f} ({finding.at})"
        return f"{title}: {mean}, {most}, of {counted_pairs(finding.pairs)}"
    if finding.check == SPEED or finding.base == finding.new:
        return ""
    return f"{_TITLES[finding.check]}: {finding.base} -> {finding.new}"
