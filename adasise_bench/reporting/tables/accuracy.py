"""How well a network classifies the pictures, beside what the papers print of theirs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from adasise_bench.metrics.accuracy import Accuracy, ResampledAccuracy, accuracy
from adasise_bench.records.run import Run
from adasise_bench.reporting.published import published_accuracy
from adasise_bench.reporting.statistics import MINIMUM_IMAGES, percentile_intervals
from adasise_bench.reporting.tables.model import Cell, Row, Table, title_of
from adasise_bench.utils.errors import DataError

NAME = "accuracy"

_LISTS = ("class_scores", "classes_annotated", "classes_difficult")

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


def accuracy_of(runs: Sequence[Run]) -> dict[str, AccuracyEstimate]:
    """The accuracy of each network on the pictures that its records tell the scores of.

    Raises:
        DataError: scores that are not those of the data's classes, or classes that the data does not have;
            names the folder and the first such record.
    """
    parts: dict[str, list[tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]]] = {}
    seen: dict[str, set[str]] = {}
    for run in runs:
        count = len(run.environment["data"].get("classes") or ())
        for table in run.read(["model", "image_id", *_LISTS]):
            known = table.filter(pc.is_valid(table["class_scores"])).to_pandas()
            for record in known.itertuples():
                _refuse_impossible(record, count, run.folder)
            for model, group in known.groupby("model", sort=False):
                own = seen.setdefault(str(model), set())
                new = group[~group["image_id"].isin(own)].drop_duplicates("image_id")
                if new.empty:
                    continue
                own.update(new["image_id"])
                scores, annotated, difficult = (new[name] for name in _LISTS)
                flags = _as_flags(annotated, count), _as_flags(difficult, count)
                parts.setdefault(str(model), []).append((np.stack(scores.tolist()), *flags))
    return {
        model: estimate_accuracy(*(np.concatenate(arrays) for arrays in zip(*own, strict=True)))
        for model, own in parts.items()
    }


def _refuse_impossible(record: object, count: int, folder: Path) -> None:
    scores, annotated, difficult = (getattr(record, name) for name in _LISTS)
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


def accuracy_table(
    model: str, data: str, estimate: AccuracyEstimate, deviations: Sequence[str] = ()
) -> Table:
    """One network's accuracy in several definitions, the papers' figure beside each that it may mean.

    Args:
        model: the network.
        data: name of the data set; the papers' figures are VOC 2007's.
        estimate: what was measured.
        deviations: which settings are not the protocol's.
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
    for name, title in (("pictures", "Images"), ("pairs", "Pairs"), ("classes", "Classes in the mAP")):
        count = getattr(found, name)
        rows.append(Row(title, None, "count", (Cell(None, name, count, count, count),)))
    title = f"Accuracy of {title_of(model)} on these images"
    return Table(NAME, model, title, (model,), tuple(rows), tuple(deviations) if paper else ())


def accuracy_notes(tables: Iterable[Table]) -> Iterator[str]:
    """What the numbers of :func:`accuracy_table` mean, where there are any."""
    shown = [table for table in tables if table.name == NAME]
    if not shown:
        return
    yield (
        "Accuracy: the network's, by its scores of whole images; no map is involved. mAP: mean over the "
        "classes of the average precision, by VOC 2007's 11 points (ap-voc07-11points-v1) or as area without "
        "interpolation (ap-area-v1), images with only difficult objects of a class left out for it. "
        "Top-1, Top-5 (topk-annotated-v1): images of which an annotated class has the highest score, or "
        "one of the five highest; by pairs: annotated classes with one of the five highest."
    )
    if any(cell.published is not None for table in shown for row in table.rows for cell in row.cells):
        yield (
            "Published accuracy: arXiv 2102.07799 prints one test accuracy per network, arXiv 2010.00672 one "
            "top-5 accuracy, and neither says how it is defined; each stands beside all that it may mean."
        )
