"""The measured values of one network, laid out so that methods can be compared pair by pair."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.record import CHANCE
from adasise_bench.reporting.published import paper_order
from adasise_bench.reporting.statistics import paired_differences

PAIR = ["image_id", "class_name"]
_OF_PAIRS = ["box_share", "score", "rank"]
MACHINE_COLUMNS = ("seconds", "peak_memory_mb")
"""Columns that depend on the machine, and cannot be compared between two machines."""


@dataclass(frozen=True)
class Scores:
    """Values of one network, one row per (image, class) pair.

    Attributes:
        values: floats, NaN where missing; columns (column of the records, method label).
        timed_on: device and precision with which ``seconds`` was measured, one column per method.
        of_pairs: what the records of a pair share, one row per pair: ``box_share``, percent of the input
            inside the class's boxes, ``score``, Ψ of the whole picture, and ``rank``, the class's place by
            it; NaN if no record tells it.
        chance: percent that maps get which do not look at the picture, by the records' columns ``chance_*``;
            empty where it is not known.
        against: label of the method whose values were subtracted, if any.
        controls: labels of controls, which are shown beside the methods and are never the best.
    """

    values: pd.DataFrame
    timed_on: pd.DataFrame
    of_pairs: pd.DataFrame
    chance: pd.DataFrame
    against: str | None = None
    controls: frozenset[str] = frozenset()

    @classmethod
    def of(cls, records: pd.DataFrame, controls: frozenset[str] = frozenset()) -> Scores:
        """Lay out one network's records: methods in the papers' order, then the others, then controls."""
        pairs = records.dropna(subset=["class_name"])
        methods = sorted(methods_of(records), key=controls.__contains__)
        columns = list(dict.fromkeys(metric.column for metric in METRICS.values()))
        values = pairs.pivot(index=PAIR, columns="method", values=columns)
        timed_on = pairs.pivot(index=PAIR, columns="method", values="timed_on")
        shared = pairs.groupby(PAIR)[[*_OF_PAIRS, *CHANCE]].first().astype(float).reindex(values.index)
        return cls(
            values.reindex(columns=pd.MultiIndex.from_product([columns, methods])).astype(float),
            timed_on.reindex(columns=methods),
            shared[list(_OF_PAIRS)],
            shared[list(CHANCE)],
            controls=controls,
        )

    @property
    def methods(self) -> list[str]:
        """Labels in the order of the columns."""
        return list(self.timed_on.columns)

    @property
    def box_share(self) -> pd.Series[float]:
        """Percent of the input inside the class's boxes, by pair."""
        return self.of_pairs["box_share"]

    @property
    def score(self) -> pd.Series[float]:
        """Ψ of the whole picture, by pair."""
        return self.of_pairs["score"]

    @property
    def rank(self) -> pd.Series[float]:
        """Place of the class among the data's classes by Ψ of the whole picture, from 1, by pair."""
        return self.of_pairs["rank"]

    def by_method(self, column: str) -> pd.DataFrame:
        """The values of one column of the records, one column per method."""
        return self.values.loc[:, [column]].droplevel(0, axis=1)

    def where(self, chosen: Any) -> Scores:
        """The pairs that a boolean array over the rows chooses."""
        return replace(
            self,
            values=self.values[chosen],
            timed_on=self.timed_on[chosen],
            of_pairs=self.of_pairs[chosen],
            chance=self.chance[chosen],
        )

    def minus(self, against: str) -> Scores:
        """Every other method's values minus those of ``against`` on the same pairs.

        Columns that depend on the machine are compared only between explanations that the same machine made.
        """
        same_machine = self.timed_on.eq(self.timed_on[against], axis=0).drop(columns=[against])
        differences = {
            column: paired_differences(self.by_method(column), against)
            for column in self.values.columns.unique(0)
        }
        for column in MACHINE_COLUMNS:
            differences[column] = differences[column].where(same_machine)
        return replace(
            self,
            values=pd.concat(differences, axis=1),
            timed_on=self.timed_on.drop(columns=[against]),
            against=against,
        )

    def comparable(self, column: str) -> bool:
        """Whether all methods with values of ``column`` have them for the same pairs, on the same machine."""
        present = self.by_method(column).notna()
        basis = self.timed_on.where(present, "") if column in MACHINE_COLUMNS else present
        bases = basis.loc[:, present.any()].to_numpy(object)
        return bool((bases == bases[:, :1]).all())


def methods_of(records: pd.DataFrame) -> list[str]:
    """The records' method labels in the paper's order."""
    return in_paper_order(records["method"].unique(), paper_order())


def in_paper_order(present: Iterable[str], paper: Iterable[str]) -> list[str]:
    """The names that are present: first the paper's in its order, then the others in alphabetical order."""
    order = list(paper)
    return sorted(present, key=lambda name: (order.index(name) if name in order else len(order), name))
