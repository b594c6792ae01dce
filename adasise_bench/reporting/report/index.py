"""The records as columns over (model, picture, class) pairs, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from adasise_bench.metrics.registry import DEFAULT, METRICS, Metric
from adasise_bench.records.record import Key
from adasise_bench.reporting.tables import title_of

_PAIR = ["model", "image_id", "class_name"]


class Pair(NamedTuple):
    """One class of one picture on one model, which every method explained."""

    model: str
    image_id: str
    class_name: str | None

    def key(self, method: str) -> Key:
        """The identity of one method's record."""
        return Key(self.model, method, self.image_id, self.class_name)


@dataclass(frozen=True)
class Index:
    """All records, column by column.

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
    records: pd.DataFrame,
    models: Sequence[str],
    methods: Sequence[str],
    metrics: Sequence[str] = DEFAULT,
    controls: Sequence[str] = (),
) -> Index:
    """Lay out the records of :func:`~adasise_bench.records.joining.combine`.

    Args:
        records: one row per explanation.
        models: the models to show, in this order.
        methods: the labels to show, in this order.
        metrics: the metrics to show, all of them columns of the records.
        controls: those of the labels that are controls.
    """
    order = {model: position for position, model in enumerate(models)}
    pairs = records.groupby(_PAIR, sort=False, dropna=False)[["score", "box_share"]].first().reset_index()
    pairs = pairs.sort_values("model", key=lambda column: column.map(order), kind="stable", ignore_index=True)
    by_method = [
        pairs[_PAIR].merge(records[records["method"] == method], on=_PAIR, how="left") for method in methods
    ]
    return Index(
        pairs=[Pair(*row) for row in _plain(pairs[_PAIR]).itertuples(index=False)],
        methods=list(methods),
        metrics=list(metrics),
        controls=list(controls),
        score=_plain(pairs["score"]).tolist(),
        box_share=_plain(pairs["box_share"]).tolist(),
        values=[[_plain(frame[metric]).tolist() for metric in metrics] for frame in by_method],
        degenerate=[_plain(frame["degenerate"]).tolist() for frame in by_method],
        errors=[
            {number: text for number, text in enumerate(_plain(frame["error"])) if text is not None}
            for frame in by_method
        ],
        one_machine=records["timed_on"].nunique() <= 1,
    )


def _plain(data: Any) -> Any:
    """The same data with ``None`` for everything that is missing."""
    return data.astype(object).where(data.notna(), None)


def _metric(metric: Metric, one_machine: bool) -> dict[str, str | bool | None]:
    """What the page needs to know about a metric; values are not compared between machines."""
    comparable = metric.unit != "seconds" or one_machine
    return {
        "title": metric.title,
        "direction": metric.direction,
        "unit": metric.unit,
        "comparable": comparable,
    }


def index_json(
    index: Index, pictures: Sequence[tuple[str, str]], picture_of: Sequence[int]
) -> dict[str, Any]:
    """The index with names stored once.

    Args:
        index: the records.
        pictures: the pictures' data sets and ids.
        picture_of: the number of each pair's picture.
    """
    models = list(dict.fromkeys(pair.model for pair in index.pairs))
    classes = sorted({pair.class_name for pair in index.pairs if pair.class_name is not None})
    return {
        "models": [title_of(model) for model in models],
        "methods": [title_of(method) for method in index.methods],
        "controls": [index.methods.index(label) for label in index.controls if label in index.methods],
        "classes": classes,
        "metrics": [_metric(METRICS[metric], index.one_machine) for metric in index.metrics],
        "pictures": [image_id for _, image_id in pictures],
        "model": [models.index(pair.model) for pair in index.pairs],
        "picture": list(picture_of),
        "className": [
            -1 if pair.class_name is None else classes.index(pair.class_name) for pair in index.pairs
        ],
        "score": index.score,
        "boxShare": index.box_share,
        "values": index.values,
        "degenerate": index.degenerate,
        "errors": index.errors,
    }
