"""The records as columns over (model, picture, class) pairs, ready for JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adasise_bench.metrics.registry import DEFAULT, METRICS, Metric
from adasise_bench.records.columns import NetworkRecords
from adasise_bench.records.record import Key
from adasise_bench.reporting.captions import score_text
from adasise_bench.reporting.tables import title_of

_Ints = NDArray[np.int64]


class Pair(NamedTuple):
    """One class of one picture on one model, which every method explained."""

    model: str
    image_id: str
    class_name: str | None

    def key(self, method: str) -> Key:
        """The identity of one method's record."""
        return Key(self.model, method, self.image_id, self.class_name)


@dataclass(frozen=True)
class Places:
    """Where the pairs of a report stand: model by model, in the records' order.

    Attributes:
        networks: the records of the shown models, in their order.
        rows: per model, the rows of its pairs.
        pictures: per pair of all models, the number of its picture, in the order of first appearance. Equal
            ids in two data sets are two pictures.
    """

    networks: list[NetworkRecords]
    rows: list[_Ints]
    pictures: _Ints

    @classmethod
    def of(cls, networks: Sequence[NetworkRecords], data: Sequence[str]) -> Places:
        """All pairs of some models; ``data`` names the data set of each."""
        rows = [_in_records_order(network) for network in networks]
        sets = [data.index(name) for name in data]
        images = [
            network.pairs.codes[0][own].astype(np.int64) * len(data) + number
            for network, own, number in zip(networks, rows, sets, strict=True)
        ]
        return cls(list(networks), rows, _numbered(np.concatenate(images)))

    def __len__(self) -> int:
        """How many pairs there are."""
        return len(self.pictures)

    @property
    def picture_count(self) -> int:
        """How many pictures they have."""
        return int(self.pictures.max()) + 1

    def of_pictures(self, chosen: _Ints) -> Places:
        """The pairs of some pictures, whose pictures are numbered anew."""
        kept = np.isin(self.pictures, chosen)
        parts = np.split(kept, np.cumsum([len(own) for own in self.rows])[:-1])
        rows = [own[part] for own, part in zip(self.rows, parts, strict=True)]
        return replace(self, rows=rows, pictures=_numbered(self.pictures[kept]))

    def pairs(self) -> list[Pair]:
        """The names of the pairs."""
        return [
            Pair(network.model, image_id, None if pd.isna(class_name) else class_name)
            for network, own in zip(self.networks, self.rows, strict=True)
            for image_id, class_name in network.pairs[own]
        ]

    def shared(self, column: str) -> NDArray[np.float64]:
        """A column that a pair's records share, (pairs,)."""
        return self._joined(lambda network: network.shared(column))

    def of_method(self, column: str, method: str) -> NDArray[np.float64]:
        """A column of one method, (pairs,); NaN where there is no value."""

        def read(network: NetworkRecords) -> NDArray[np.float64]:
            if method not in network.methods:
                return np.full(len(network.pairs), np.nan)
            return network.values(column)[:, network.methods.index(method)]

        return self._joined(read)

    def errors(self, method: str) -> dict[int, str]:
        """The texts of one method's errors, by the numbers of their pairs."""
        found: dict[int, str] = {}
        start = 0
        for network, own in zip(self.networks, self.rows, strict=True):
            if method in network.methods:
                numbers, texts = network.errors()
                of_pair = numbers[own, network.methods.index(method)]
                failed = np.flatnonzero(of_pair >= 0).tolist()
                found |= {start + pair: texts[of_pair[pair]] for pair in failed}
            start += len(own)
        return found

    def _joined(self, read: Callable[[NetworkRecords], NDArray[np.float64]]) -> NDArray[np.float64]:
        parts = [read(network)[own] for network, own in zip(self.networks, self.rows, strict=True)]
        return np.concatenate(parts)


def _in_records_order(network: NetworkRecords) -> _Ints:
    """The rows of a network's pairs in the order of the pairs' first records."""
    first = np.where(network.present, network.first_rows, np.iinfo(np.int64).max).min(axis=1)
    order: _Ints = first.argsort(kind="stable")
    return order


def _numbered(values: _Ints) -> _Ints:
    """Equal values as equal numbers, from 0, in the order of first appearance."""
    _, first, of_value = np.unique(values, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[first.argsort()] = np.arange(len(first))
    numbers: _Ints = rank[of_value]
    return numbers


@dataclass(frozen=True)
class Index:
    """The records that a page shows, column by column.

    Attributes:
        pairs: model by model, in the records' order.
        methods: labels; the order of ``values``, ``degenerate`` and ``errors``.
        metrics: names of metrics that are columns of the records.
        controls: labels of controls, which are never marked as best.
        score, box_share: one value for each pair.
        values: per method, per metric, one value per pair; ``None`` where there is none.
        degenerate: per method, one value per pair.
        errors: per method, the error by the number of its pair.
        one_machine: whether all run-times were measured on the same device and precision.
    """

    pairs: list[Pair]
    methods: list[str]
    metrics: list[str]
    controls: list[str]
    score: list[float | None]
    box_share: list[float | None]
    values: list[list[list[float | None]]]
    degenerate: list[list[bool | None]]
    errors: list[dict[int, str]]
    one_machine: bool


def build_index(
    places: Places,
    methods: Sequence[str],
    metrics: Sequence[str] = DEFAULT,
    controls: Sequence[str] = (),
) -> Index:
    """Lay out the records of some pairs.

    Args:
        places: the pairs.
        methods: the labels to show, in this order.
        metrics: the metrics to show, all of them columns of the records.
        controls: those of the labels that are controls.
    """
    values: dict[str, list[list[float | None]]] = {method: [] for method in methods}
    for metric in metrics:  # column by column, because these are what is read
        for method in methods:
            values[method].append(_plain(places.of_method(metric, method)))
    flags = [_plain(places.of_method("degenerate", method)) for method in methods]
    devices = {device for network in places.networks for device in network.devices}
    return Index(
        pairs=places.pairs(),
        methods=list(methods),
        metrics=list(metrics),
        controls=list(controls),
        score=_plain(places.shared("score")),
        box_share=_plain(places.shared("box_share")),
        values=list(values.values()),
        degenerate=[[None if flag is None else bool(flag) for flag in column] for column in flags],
        errors=[places.errors(method) for method in methods],
        one_machine=len(devices - {None}) <= 1,
    )


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    """The same numbers with ``None`` for everything that is missing."""
    missing = np.isnan(values)
    plain: list[float | None] = values.tolist()
    for place in np.flatnonzero(missing).tolist():
        plain[place] = None
    return plain


def _metric(metric: Metric, one_machine: bool) -> dict[str, str | bool | None]:
    """What the page needs to know about a metric; values are not compared between machines."""
    comparable = metric.unit != "seconds" or one_machine
    return {
        "title": metric.title,
        "direction": metric.direction,
        "unit": metric.unit,
        "comparable": comparable,
    }


def index_json(index: Index, pictures: Sequence[str], picture_of: Sequence[int]) -> dict[str, Any]:
    """The index with names stored once.

    Args:
        index: the records.
        pictures: the pictures' ids.
        picture_of: the number of each pair's picture.
    """
    models = {name: number for number, name in enumerate(dict.fromkeys(pair.model for pair in index.pairs))}
    names = sorted({pair.class_name for pair in index.pairs if pair.class_name is not None})
    classes: dict[str | None, int] = {name: number for number, name in enumerate(names)} | {None: -1}
    return {
        "models": [title_of(model) for model in models],
        "methods": [title_of(method) for method in index.methods],
        "controls": [index.methods.index(label) for label in index.controls if label in index.methods],
        "classes": names,
        "metrics": [_metric(METRICS[metric], index.one_machine) for metric in index.metrics],
        "pictures": list(pictures),
        "model": [models[pair.model] for pair in index.pairs],
        "picture": list(picture_of),
        "className": [classes[pair.class_name] for pair in index.pairs],
        "score": index.score,
        "scoreText": [None if score is None else score_text(score) for score in index.score],
        "boxShare": index.box_share,
        "values": index.values,
        "degenerate": index.degenerate,
        "errors": index.errors,
    }
