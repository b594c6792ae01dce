"""What the tool shall reach on an H100 or H200, held against what the steps found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .results import Row

_HALF = ("bf16", "fp16")


class Target(NamedTuple):
    """A limit for the best of some rows.

    Attributes:
        what: one phrase about it.
        steps: whose rows count.
        column: the figure's column.
        where: values that other columns must have; a tuple allows any of its members.
        limit: the figure that is to be reached.
        at_least: whether more is better.
    """

    what: str
    steps: tuple[str, ...]
    column: str
    where: Mapping[str, Any]
    limit: float
    at_least: bool = False


def _seconds(network: str, method: str, precisions: tuple[str, ...], limit: float) -> Target:
    what = f"seconds of {method} on {network} in {' or '.join(precisions)}"
    where = {"network": network, "method": method, "precision": precisions}
    return Target(what, ("speed", "compiled"), "seconds", where, limit)


_EFFICIENCY = [
    Target(
        f"efficiency of {method} on {network} in {precision}",
        ("speed",),
        "efficiency",
        {"network": network, "method": method, "precision": precision},
        0.90,
        at_least=True,
    )
    for network in ("resnet50", "vgg16")
    for method in ("sise", "ada_sise")
    for precision in ("fp32", "bf16", "fp16", "tf32")
]
TARGETS = [
    *_EFFICIENCY,
    _seconds("resnet50", "sise", _HALF, 0.20),
    _seconds("resnet50", "ada_sise", _HALF, 0.14),
    _seconds("resnet50", "sise", ("fp32",), 0.60),
    _seconds("resnet50", "ada_sise", ("fp32",), 0.40),
    _seconds("vgg16", "sise", _HALF, 0.20),
    _seconds("vgg16", "ada_sise", _HALF, 0.14),
    Target(
        "seconds of Extremal Perturbation per explanation, the best of its ways",
        ("perturbation",),
        "seconds for 800 iterations",
        {},
        1.5,
    ),
    Target(
        "Extremal Perturbation, how many times as fast as TorchRay's",
        ("perturbation",),
        "times TorchRay",
        {},
        8,
        at_least=True,
    ),
]
_HOURS = ("table1", "hours for this network's part of Table 1", 8.0)


def judged(steps: Mapping[str, Any]) -> list[Row]:
    """A row per target: the limit, the best that was measured, and whether that suffices (or is open)."""
    rows = []
    for target in TARGETS:
        found = [
            row[target.column]
            for step in target.steps
            for row in _rows(steps, step)
            if target.column in row and _fits(row, target.where)
        ]
        best = (max(found) if target.at_least else min(found)) if found else None
        rows.append(_row(target.what, target.limit, best, target.at_least))
    step, column, limit = _HOURS
    rows.append(_row("hours for all of Table 1", limit, _sum_of_best(_rows(steps, step), column), False))
    return rows


def _rows(steps: Mapping[str, Any], step: str) -> list[Row]:
    rows: list[Row] = steps.get(step, {"rows": []})["rows"]
    return rows


def _fits(row: Row, where: Mapping[str, Any]) -> bool:
    return all(
        row.get(key) in (wanted if isinstance(wanted, tuple) else (wanted,)) for key, wanted in where.items()
    )


def _sum_of_best(rows: Iterable[Row], column: str) -> float | None:
    """The networks' best figures added up; ``None`` unless both networks have one."""
    best: dict[str, float] = {}
    for row in rows:
        if column in row:
            best[row["network"]] = min(row[column], best.get(row["network"], row[column]))
    return sum(best.values()) if best.keys() >= {"resnet50", "vgg16"} else None


def _row(what: str, limit: float, best: float | None, at_least: bool) -> Row:
    if best is None:
        verdict = "open: not measured"
    else:
        verdict = "reached" if (best >= limit if at_least else best <= limit) else "missed"
    return {
        "target": what,
        "limit": f"{'at least' if at_least else 'at most'} {limit:g}",
        "measured": best,
        "": verdict,
    }
