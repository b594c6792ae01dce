"""How well a network classifies the pictures, beside what the papers print of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adasise_bench.metrics.accuracy import Accuracy, ResampledAccuracy, accuracy
from adasise_bench.records.run import Run
from adasise_bench.reporting.published import published_accuracy
from adasise_bench.reporting.statistics import MINIMUM_IMAGES, percentile_intervals
from adasise_bench.reporting.tables.model import Cell, Row, Table, title_of
from adasise_bench.utils.errors import DataError

NAME = "accuracy"

_SHARES = {
    "map_eleven_points": "mAP, 11 points, %",
    "map_area": "mAP, area, %",
    "top1": "Top-1, %",
    "top5": "Top-5, %",
    "top5_pairs": "Top-5 by pairs, %",
}


class AccuracyEstimate(NamedTuple):
    """The accuracy of a network on some pictures, with the ends of its 95 % intervals by name.

    A name has no interval where resampling shows no spread, or where there are too few pictures.
    """

    found: Accuracy
    intervals: Mapping[str, tuple[float, float]]


def estimate_accuracy(
    scores: NDArray[np.floating], annotated: NDArray[np.bool_], difficult: NDArray[np.bool_]
) -> AccuracyEstimate:
    """The accuracy with bootstrap intervals over pictures; see :func:`.accuracy` for the arguments."""
    found = accuracy(scores, annotated, difficult)
    if found.pictures < MINIMUM_IMAGES:
        return AccuracyEstimate(found, {})
    resampled = ResampledAccuracy(scores, annotated, difficult)
    low, high = percentile_intervals(found.pictures, resampled.shares, 4 * found.pictures)
    intervals = {
        name: (float(one), float(other))
        for name, one, other in zip(resampled.NAMES, low, high, strict=True)
        if other > one
    }
    return AccuracyEstimate(found, intervals)


def accuracy_of(records: pd.DataFrame, classes: Sequence[str] | None) -> AccuracyEstimate | None:
    """The accuracy of one network on the pictures that its records tell the scores of; ``None`` for none.

    Args:
        records: of one network.
        classes: those of the data, in their order; ``None`` where the run's environment does not name them.
    """
    known = records.dropna(subset=["class_scores"]).drop_duplicates("image_id")
    if known.empty:
        return None
    count = len(classes or ())
    return estimate_accuracy(
        np.stack(known["class_scores"].tolist()),
        _as_flags(known["classes_annotated"], count),
        _as_flags(known["classes_difficult"], count),
    )


def refuse_other_classes(run: Run) -> None:
    """Refuse scores that are not those of the data's classes, or classes that the data does not have.

    Raises:
        DataError: names the folder and the first such record.
    """
    count = len(run.environment["data"].get("classes") or ())
    for record in run.records.dropna(subset=["class_scores"]).itertuples():
        _refuse_impossible(record, count, run.folder)


def _refuse_impossible(record: object, count: int, folder: Path) -> None:
    scores, annotated, difficult = (
        getattr(record, name) for name in ("class_scores", "classes_annotated", "classes_difficult")
    )
    lists = annotated is not None and difficult is not None
    fits = lists and len(scores) == count and np.isfinite(scores).all() and len(annotated)
    if not fits or max(annotated) >= count or not set(difficult) <= set(annotated):
        where = f"{getattr(record, 'model', '')} {getattr(record, 'image_id', '')}"
        raise DataError(
            f"{folder}: damaged: {where}: class_scores that are not of {count} classes; run again"
        )


def _as_flags(lists: Iterable[Sequence[int]], count: int) -> NDArray[np.bool_]:
    """(N, C) bool of N lists of classes."""
    rows = [np.isin(np.arange(count), numbers) for numbers in lists]
    return np.stack(rows)


def accuracy_table(model: str, data: str, estimate: AccuracyEstimate) -> Table:
    """One network's accuracy in several definitions, the papers' figure beside each that it may mean.

    Args:
        model: the network.
        data: name of the data set; the papers' figures are VOC 2007's.
        estimate: what was measured.
    """
    found = estimate.found
    paper = published_accuracy(model, data)
    rows = []
    for name, title in _SHARES.items():
        of = found.pairs if name == "top5_pairs" else found.pictures
        low, high = estimate.intervals.get(name, (None, None))
        cell = Cell(
            None,
            name,
            getattr(found, name),
            of,
            of,
            paper.get(name),
            low=low,
            high=high,
            images=found.pictures,
        )
        rows.append(Row(title, "up", "percent", (cell,)))
    for name, title in (("pictures", "Pictures"), ("pairs", "Pairs"), ("classes", "Classes in the mAP")):
        count = getattr(found, name)
        rows.append(Row(title, None, "count", (Cell(None, name, count, count, count),)))
    return Table(NAME, model, f"Accuracy of {title_of(model)} on these pictures", (model,), tuple(rows))


def accuracy_notes(tables: Iterable[Table]) -> Iterator[str]:
    """What the numbers of :func:`accuracy_table` mean, where there are any."""
    shown = [table for table in tables if table.name == NAME]
    if not shown:
        return
    yield (
        "Accuracy: the network's, by its scores of whole pictures; no map is involved. mAP: mean over the "
        "classes of the average precision, by VOC 2007's 11 points (ap-voc07-11points-v1) or as area without "
        "interpolation (ap-area-v1), pictures with only difficult objects of a class left out for it. "
        "Top-1, Top-5 (topk-annotated-v1): pictures of which an annotated class has the highest score, or "
        "one of the five highest; by pairs: annotated classes with one of the five highest."
    )
    if any(cell.published is not None for table in shown for row in table.rows for cell in row.cells):
        yield (
            "Published accuracy: arXiv 2102.07799 prints one test accuracy per network, arXiv 2010.00672 one "
            "top-5 accuracy, and neither says how it is defined; each stands beside all that it may mean."
        )
