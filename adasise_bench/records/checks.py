"""Which values a record can have, and with what it must agree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any, NamedTuple

import pandas as pd

from adasise_bench.metrics.registry import ANYTHING, COMPUTED, FROM_ZERO, METRICS, PERCENT, QUALITY, Range
from adasise_bench.records.record import CHANCE
from adasise_bench.utils.errors import DataError

_ROUNDING = 1e-6


_OTHERS: Mapping[str, Range] = {
    "score": PERCENT._replace(high=1),
    "box_share": PERCENT,
    **dict.fromkeys(CHANCE, PERCENT),
    "rank": FROM_ZERO._replace(low=1),
    **dict.fromkeys(
        ("seconds", "seconds_feature_maps", "seconds_selection", "seconds_scoring", "seconds_fusion",
         "seconds_optimisation", "seconds_plain_forward", "forwards", "backwards", "peak_memory_mb"),
        FROM_ZERO,
    ),
}  # fmt: skip
"""The ranges of columns that do not belong to a metric, if the score Ψ lies in [0, 1]."""

_MEASURED = (*QUALITY, "score")
_WEIGHTS_DIGITS = 12


def ranges(score: str) -> dict[str, Range]:
    """Which values a column can have under a score Ψ; all scores but ``logit`` lie in [0, 1]."""
    metrics = {name: METRICS[name].possible(score) or METRICS[name].range for name in COMPUTED}
    others = {**_OTHERS, "score": ANYTHING} if score == "logit" else _OTHERS
    return metrics | dict(others)


def refuse_impossible(
    records: pd.DataFrame, *, score: str, models: Mapping[str, Mapping[str, Any]], where: str, cure: str
) -> None:
    """Refuse records that have a value outside its range, or that contradict themselves or their run.

    The records can be all of a run, or a part of them.

    Args:
        records: any number of them, with the columns of a record.
        score: the run's score Ψ.
        models: what the run's environment says about every network.
        where: the file that they come from.
        cure: what the message tells the reader to do.

    Raises:
        DataError: names the file, the first such record of its kind, and the cure.
    """
    for impossible, problem in _problems(records, score, models):
        if impossible.any():
            first = records[impossible].iloc[0]
            raise DataError(f"{where}: {named(first)}: {problem(first)}; {cure}")


def named(record: pd.Series[Any]) -> str:
    """A record's key in words."""
    parts = (record[name] for name in ("model", "method", "image_id", "class_name"))
    return " ".join(str(part) for part in parts if not pd.isna(part) and part != "")


def out_of_range(values: pd.Series[Any], allowed: Range) -> pd.Series[bool]:
    """Which values are impossible; a missing value is not."""
    numbers = pd.to_numeric(values)
    if allowed.whole:
        possible = numbers.isin([allowed.low, allowed.high])
    else:
        possible = numbers.between(allowed.low - _ROUNDING, allowed.high + _ROUNDING)
    return numbers.notna() & ~possible


class _Out(NamedTuple):
    column: str
    allowed: Range

    def __call__(self, record: pd.Series[Any]) -> str:
        low, high, whole = self.allowed
        expected = f"{low:g} or {high:g}" if whole else f"within {low:g} and {high:g}"
        if high == inf:
            expected = f"{low:g} or more"
        return f"{self.column} is {record[self.column]:g}, and can only be {expected}"


def _problems(
    records: pd.DataFrame, score: str, models: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[pd.Series[bool], Any]]:
    """Yields each kind of problem: which records have it, and what a message calls it."""
    for column, allowed in ranges(score).items():
        yield out_of_range(records[column], allowed), _Out(column, allowed)
    failed, measured = records["error"].notna(), records[list(_MEASURED)].notna().any(axis=1)
    yield failed & measured, lambda _: "has an error and values, which exclude each other"
    yield (
        (records["increase"] == 100) & (records["drop"] > _ROUNDING),
        lambda _: "the score both rises (increase) and drops, which exclude each other",
    )
    for column, facts in (("weights", _weights(models)), ("published_model", _published(models))):
        said = records["model"].map(facts)
        yield (
            records[column].notna() & said.notna() & (records[column] != said),
            lambda record, column=column, facts=facts: (
                f"{column} is {record[column]}, while environment.json says {facts[record['model']]}"
            ),
        )


def _weights(models: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {name: str(facts["weights_sha256"])[:_WEIGHTS_DIGITS] for name, facts in models.items()}


def _published(models: Mapping[str, Mapping[str, Any]]) -> dict[str, bool]:
    return {name: bool(facts["published"]) for name, facts in models.items()}
