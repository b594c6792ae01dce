"""The measured values of one network, laid out so that methods can be compared pair by pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pandas as pd

from adasise_bench.records.columns import NetworkRecords
from adasise_bench.records.record import CHANCE
from adasise_bench.reporting.statistics import paired_differences

_OF_PAIRS = ("box_share", "score", "rank")
MACHINE_COLUMNS = ("seconds", "peak_memory_mb")
"""Columns that depend on the machine, and cannot be compared between two machines."""


@dataclass(frozen=True)
class Scores:
    """Values of one network, one row per (image, class) pair.

    Attributes:
        methods: labels in the order of the columns.
        read: reads one column of the records, as floats with one column per method, NaN where missing.
        of_pairs: what the records of a pair share, one row per pair: ``box_share``, percent of the input
            inside the class's boxes, ``score``, Ψ of the whole picture, and ``rank``, the class's place by
            it; NaN if no record tells it.
        chance: percent that maps get which do not look at the picture, by the records' columns ``chance_*``;
            empty where it is not known.
        devices: where the run-times of each method were measured; ``None`` if they were not.
        against: label of the method whose values were subtracted, if any.
        controls: labels of controls, which are shown beside the methods and are never the best.
    """

    methods: list[str]
    read: Callable[[str], pd.DataFrame]
    of_pairs: pd.DataFrame
    chance: pd.DataFrame
    devices: Mapping[str, str | None]
    against: str | None = None
    controls: frozenset[str] = frozenset()

    @classmethod
    def of(cls, records: NetworkRecords, controls: frozenset[str] = frozenset()) -> Scores:
        """Lay out one network's records, the methods in their order."""
        methods = records.methods
        chosen = np.flatnonzero(records.named)
        index = records.pairs[chosen]

        def read(column: str) -> pd.DataFrame:
            return pd.DataFrame(records.values(column)[chosen], index, methods)

        shared = {name: records.shared(name)[chosen] for name in _OF_PAIRS}
        levels = {name: records.shared(name)[chosen] for name in CHANCE}
        known = {name: values for name, values in levels.items() if not np.isnan(values).all()}
        return cls(
            methods,
            read,
            pd.DataFrame(shared, index),
            pd.DataFrame(known, index),
            dict(zip(records.methods, records.devices, strict=True)),
            controls=controls,
        )

    @property
    def pairs(self) -> pd.MultiIndex:
        """The rows, sorted."""
        return cast(pd.MultiIndex, self.of_pairs.index)

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

    def where(self, chosen: Any) -> Scores:
        """The pairs that a boolean array over the rows chooses."""
        return replace(
            self,
            read=lambda column: self.read(column)[chosen],
            of_pairs=self.of_pairs[chosen],
            chance=self.chance[chosen],
        )

    def minus(self, against: str) -> Scores:
        """Every other method's values minus those of ``against`` on the same pairs.

        Columns that depend on the machine are compared only between explanations that the same machine made.
        """

        def read(column: str) -> pd.DataFrame:
            differences = paired_differences(self.read(column), against)
            if column in MACHINE_COLUMNS:
                timed = self.read("seconds").notna()
                for method in differences:
                    same = self.devices[str(method)] == self.devices[against]
                    differences[method] = differences[method].where(timed[method] & timed[against] & same)
            return differences

        return replace(
            self, methods=[method for method in self.methods if method != against], read=read, against=against
        )

    def incomparable(self, column: str) -> str:
        """Why the methods' values of a column cannot be compared; empty if they can.

        They can where all methods with values have them for the same pairs, on the same machine.
        """
        present = self.read(column).notna()
        having = present.columns[present.any()]
        basis = present[having].to_numpy()
        if column in MACHINE_COLUMNS and len({self.devices[method] for method in having}) > 1:
            return "the methods were measured on different devices"
        bases = [basis]
        if column in MACHINE_COLUMNS:
            bases.append(self.read("seconds")[having].notna().to_numpy() & basis)
        if any((pairs != pairs[:, :1]).any() for pairs in bases):
            return "the methods were measured on different pairs"
        return ""


def in_paper_order(present: Iterable[str], paper: Iterable[str]) -> list[str]:
    """The names that are present: first the paper's in its order, then the others in their own order."""
    order = list(paper)
    return sorted(present, key=lambda name: order.index(name) if name in order else len(order))
