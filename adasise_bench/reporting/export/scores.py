"""The numbers of Table 1 one by one, network by network, with what other programs need to know of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from adasise_bench.metrics.registry import METRICS, Metric
from adasise_bench.records.run import Run
from adasise_bench.reporting.tables import Tables, tables_by_network, title_of
from adasise_bench.utils.errors import DataError


@dataclass(frozen=True)
class Score:
    """One measured number.

    Attributes:
        method: label of the method.
        name: of the metric.
        value: the mean, or the metric's quantile.
        low, high: ends of the 95 % interval; ``None`` if there is none.
        pairs, images: what the value was computed from.
    """

    method: str
    name: str
    value: float
    low: float | None
    high: float | None
    pairs: int | None
    images: int | None

    @property
    def metric(self) -> Metric:
        """The metric's entry in the registry."""
        return METRICS[self.name]


@dataclass(frozen=True)
class NetworkResults:
    """Everything that was measured on one network.

    Attributes:
        model: the network's name.
        scores: the numbers.
        tables: the network's tables and the notes on them.
        runs: those that have the network.
    """

    model: str
    scores: tuple[Score, ...]
    tables: Tables
    runs: tuple[Run, ...]

    @property
    def environment(self) -> dict[str, Any]:
        """What the values of the first run depend on."""
        return self.runs[0].environment

    @property
    def data(self) -> dict[str, Any]:
        """The facts about the pictures of the run with most pairs; a run-time run takes few of them."""
        facts: list[dict[str, Any]] = [run.environment["data"] for run in self.runs]
        return max(facts, key=lambda one: one["pairs"])

    @property
    def weights(self) -> dict[str, Any]:
        """What is known of the network's weights."""
        facts: dict[str, Any] = self.environment["models"][self.model]
        return facts

    @property
    def title(self) -> str:
        """The network and the data, for people."""
        return f"{title_of(self.model)} on {self.data['name']}"

    def definition(self, name: str) -> str:
        """The definition of a metric, or of the method of a label; empty where none is known."""
        for run in self.runs:
            names = {entry["label"]: entry["name"] for entry in run.config["methods"]}
            if found := run.environment["definitions"].get(names.get(name, name)):
                return str(found)
        return ""

    def options(self, method: str) -> dict[str, Any]:
        """The options of the method of a label that differ from the method's defaults."""
        runs = (run for run in self.runs if method in run.environment["methods"])
        return next((dict(run.environment["methods"][method]) for run in runs), {})


def results_of(runs: Sequence[Run]) -> list[NetworkResults]:
    """The numbers of Table 1 for every network of the runs.

    Args:
        runs: as for :func:`~adasise_bench.reporting.tables.build_tables`.

    Raises:
        ConfigError: the runs do not fit together.
        DataError: nothing was measured.
    """
    found = []
    for model, tables in tables_by_network(runs).items():
        rows = [row for table in tables.tables if table.name == "table1" for row in table.rows]
        cells = [cell for row in rows for cell in row.cells if cell.metric in METRICS]
        scores = tuple(
            Score(
                str(cell.method), cell.metric, float(cell.measured), cell.low, cell.high, cell.n, cell.images
            )
            for cell in cells
            if cell.measured is not None
        )
        if scores:
            having = tuple(run for run in runs if model in run.environment["models"])
            found.append(NetworkResults(model, scores, tables, having))
    if not found:
        raise DataError(f"{runs[0].folder}: no metric was measured, so that there is nothing to export")
    return found
