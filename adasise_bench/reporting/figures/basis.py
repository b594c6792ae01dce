"""The records from which a figure is made, and the sentence under it that says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adasise_bench.records.columns import NetworkRecords, join, present_codes
from adasise_bench.records.joining import refuse_disagreement, refuse_nothing
from adasise_bench.records.run import Run
from adasise_bench.reporting.tables import title_of, usual_order
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.settings import suggest

Entry = dict[str, Any]
"""One method of ``config.yaml``: ``name``, ``label`` and options."""


@dataclass(frozen=True, eq=False)
class MethodRecords:
    """Some records of one method on one network, which are read one column at a time.

    Attributes:
        network: all records of the network.
        method: label.
        chosen: which of the network's pairs, (pairs,).
    """

    network: NetworkRecords
    method: str
    chosen: NDArray[np.bool_]

    def __len__(self) -> int:
        """How many records there are."""
        return int(self.chosen.sum())

    def values(self, column: str, element: int | None = None) -> NDArray[np.float64]:
        """A column of these records, (records,), NaN where there is no value; see :class:`NetworkRecords`."""
        return self._column(column, element)[self.chosen]

    def by_pair(self, column: str) -> pd.Series[float]:
        """A column of these records over all pairs of the network, NaN where there is none or no value."""
        values = np.where(self.chosen, self._column(column), np.nan)
        return pd.Series(values, self.network.pairs)

    def having(self, column: str) -> MethodRecords:
        """Those that have a value in a column."""
        return replace(self, chosen=self.chosen & ~np.isnan(self._column(column)))

    def of(self, image_id: str, class_name: str | None = None) -> MethodRecords:
        """Those of one picture, or of one class on it."""
        chosen = self.chosen
        for place, name in enumerate((image_id, class_name)):
            if name is not None:
                numbers = self.network.pairs.levels[place].get_indexer(pd.Index([name], dtype=object))
                chosen = chosen & (self.network.pairs.codes[place] == numbers[0]) & (numbers[0] >= 0)
        return replace(self, chosen=chosen)

    def pairs(self) -> list[tuple[str, str]]:
        """Image and class of each record, in the order of the records."""
        rows = np.flatnonzero(self.chosen)
        first = self.network.first_rows[rows, self.network.methods.index(self.method)]
        return list(self.network.pairs[rows[first.argsort()]])

    def mean(self, column: str, element: int | None = None) -> float:
        """The mean of a column, NaN if no record has a value."""
        values = self.values(column, element)
        values = values[~np.isnan(values)]
        return float(values.mean()) if len(values) else np.nan

    @property
    def images(self) -> NDArray[np.integer[Any]]:
        """Numbers that stand for the different images."""
        return present_codes(self.network.pairs.codes[0][self.chosen])

    @property
    def timed_on(self) -> str | None:
        """The device and precision with which the run-times were measured."""
        return self.network.devices[self.network.methods.index(self.method)]

    def _column(self, column: str, element: int | None = None) -> NDArray[np.float64]:
        return self.network.values(column, element)[:, self.network.methods.index(self.method)]


def the_model(runs: Sequence[Run]) -> str:
    """The model of the runs, if all have the same one.

    Raises:
        ConfigError: there are several.
        DataError: there is not one record.
    """
    refuse_disagreement(runs)
    tables = (table["model"].unique().to_pylist() for run in runs for table in run.read(["model"]))
    models = list(dict.fromkeys(model for found in tables for model in found))
    refuse_nothing(runs, len(models))
    if len(models) > 1:
        raise ConfigError(f"{folders(runs)}: records of {', '.join(models)}; name one with --model")
    return str(models[0])


def records_of(runs: Sequence[Run], model: str, methods: Iterable[str] = ()) -> dict[str, MethodRecords]:
    """The joined records of one model by method, in the tables' order or that of ``methods``.

    Args:
        runs: in order of precedence, as :func:`adasise_bench.records.columns.join` takes them.
        model: architecture.
        methods: labels to keep; none keeps all.

    Raises:
        ConfigError: the runs do not fit together, or lack one of ``methods``.
        DataError: no records, or none of the model.
    """
    networks = join(runs)
    if model not in networks:
        raise DataError(f"{folders(runs)}: no records of model {model!r}{suggest(model, networks)}")
    network = networks[model]
    order = list(methods) or usual_order(runs, network.methods)
    for label in order:
        if label not in network.methods:
            raise ConfigError(
                f"{folders(runs)}: no records of method {label!r}{suggest(label, network.methods)}"
            )
    return {
        label: MethodRecords(network, label, network.present[:, network.methods.index(label)])
        for label in order
    }


def entries_of(runs: Sequence[Run], model: str) -> dict[str, Entry]:
    """The methods of the runs of one model, by label."""
    return {
        entry["label"]: entry
        for run in runs
        if model in run.environment["models"]
        for entry in run.config["methods"]
    }


def data_of(runs: Sequence[Run], model: str) -> str:
    """Name of the data set that the runs explained with a model; it is the same for all of them."""
    return next(str(run.environment["data"]["name"]) for run in runs if model in run.environment["models"])


def folders(runs: Sequence[Run]) -> str:
    """The folders of the runs, as a message names them."""
    return ", ".join(str(run.folder) for run in runs)


def basis(runs: Sequence[Run], model: str, used: Iterable[MethodRecords]) -> str:
    """From which data and how many explanations a figure is made, and with what it cannot be compared.

    Args:
        runs: the runs.
        model: architecture.
        used: per method, the records that went into the figure.
    """
    used = list(used)
    facts = [run.environment["data"] for run in runs if model in run.environment["models"]]
    weights = [run.environment["models"][model] for run in runs if model in run.environment["models"]]
    images = len(np.unique(np.concatenate([group.images for group in used])))
    whole = max(data["full_images"] or data["images"] for data in facts)
    of_whole = f" of {whole}" if images < whole else ""
    shown = "image" if whole == 1 else "images"
    text = f"{title_of(model)}, {facts[0]['name']}: {images}{of_whole} {shown}, {explanations_each(used)}."
    return f"{text} {caveat(weights[0]['published'], facts[0]['embedded'])}".rstrip()


def explanations_each(used: Iterable[MethodRecords]) -> str:
    """On how many explanations a method's mean rests, or from how many to how many."""
    counts = sorted({len(group) for group in used})
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    return f"{number} {'explanation' if number == '1' else 'explanations'} per method"


def caveat(published_weights: bool, embedded: bool) -> str:
    """The reason why the numbers cannot be compared with the paper's; empty if they can."""
    if embedded:
        return "Not photographs: not comparable with the paper."
    if not published_weights:
        return "Stand-in weights, not the published model: not comparable with the paper."
    return ""
