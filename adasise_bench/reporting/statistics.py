"""Means over (picture, class) pairs or classes, their uncertainty over pictures, and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import bootstrap

from adasise_bench.metrics.registry import Average

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
MINIMUM_IMAGES = 10
"""With fewer images, a percentile interval contains the true mean clearly less often than it promises."""

_DRAWN_AT_ONCE = 2_000_000
_ROUNDING = 1e-12

_Floats = NDArray[np.float64]


class Estimate(NamedTuple):
    """A mean.

    Attributes:
        mean: ``None`` if there are no values.
        low, high: ends of the 95 % interval; ``None`` if there is none.
        pairs, images: numbers of pairs and images with a value.
    """

    mean: float | None
    low: float | None
    high: float | None
    pairs: int
    images: int


def estimate_means(values: pd.DataFrame, average: Average = "pairs") -> dict[Hashable, Estimate]:
    """The mean of every column, with a 95 % bootstrap interval over images.

    Images are drawn with replacement, each with all its pairs (a cluster bootstrap), and the statistic is
    the mean over the pairs drawn, or over the means of the classes drawn. The interval runs between the
    2.5 % and 97.5 % percentiles of 9999 such means. The interval is not BCa, because
    percentiles need no tie-breaking if many resamples have equal means (Increase), and are never undefined.
    There is no interval below :data:`MINIMUM_IMAGES` images, and none if all images have the same mean (in
    every class), because resampling then shows no spread. The seed is fixed, so that equal values give equal
    intervals, in any order of the rows.

    Args:
        values: one float column per mean, NaN where there is no value; one row per pair, with ``image_id``
            as a level of its index, and ``class_name`` for averages over classes.
        average: what the means are taken over.

    Returns:
        The estimates by column.
    """
    sums, counts = _totals(values, average)
    present = counts.sum(axis=1) > 0
    low, high = np.full((2, values.shape[1]), np.nan)
    for columns in _columns_of_equal_images(present):
        images = present[:, columns[0]]
        low[columns], high[columns] = _intervals(sums[images][..., columns], counts[images][..., columns])
    estimates: dict[Hashable, Estimate] = {}
    for index, column in enumerate(values.columns):
        of_class = [np.ascontiguousarray(array[..., index].T).sum(axis=1) for array in (sums, counts)]
        pairs = int(of_class[1].sum())
        estimates[column] = Estimate(
            mean=float(_mean(*(totals[:, None] for totals in of_class))[0]) if pairs else None,
            low=None if np.isnan(low[index]) else float(low[index]),
            high=None if np.isnan(high[index]) else float(high[index]),
            pairs=pairs,
            images=int(present[:, index].sum()),
        )
    return estimates


def paired_differences(values: pd.DataFrame, against: Hashable) -> pd.DataFrame:
    """Every other column minus ``against``, NaN in the rows where either has no value."""
    return values.drop(columns=[against]).sub(values[against], axis=0)


def _totals(values: pd.DataFrame, average: Average) -> tuple[_Floats, _Floats]:
    """Sum and number of an image's values, each (images, classes, columns); for pairs, all are one class."""
    values = values.sort_index().astype(float)
    images = values.index.get_level_values("image_id")
    classes = values.index.get_level_values("class_name") if average == "classes" else np.zeros(len(values))
    grouped = values.groupby([images, classes])
    return _laid_out(grouped.sum()), _laid_out(grouped.count())


def _laid_out(grouped: pd.DataFrame) -> _Floats:
    """A frame as an array (first level, second level, columns), with 0 where it has no row."""
    index = cast(pd.MultiIndex, grouped.index)
    array = np.zeros((*index.levshape, grouped.shape[1]))
    array[tuple(index.codes)] = grouped.to_numpy(float)
    return array


def _mean(sums: _Floats, counts: _Floats) -> Any:
    """Mean over classes, the second to last axis, of the means of those that have values."""
    with np.errstate(invalid="ignore"):
        return np.nanmean(sums / counts, axis=-2)


def _columns_of_equal_images(present: NDArray[np.bool_]) -> list[list[int]]:
    """Groups of the columns of (images, columns) that have the same images, and so share resamples."""
    groups: dict[bytes, list[int]] = {}
    for column in range(present.shape[1]):
        groups.setdefault(present[:, column].tobytes(), []).append(column)
    return list(groups.values())


def _intervals(sums: _Floats, counts: _Floats) -> tuple[_Floats, _Floats]:
    """Ends of the intervals of :func:`_mean` of totals, NaN where there is none.

    Args:
        sums: (images, classes, columns) sum of an image's values.
        counts: (images, classes, columns) number of them, at least 1 in every image's column.
    """
    images, _, columns = sums.shape
    if images < MINIMUM_IMAGES:
        return np.full(columns, np.nan), np.full(columns, np.nan)

    def means(times: _Floats) -> Any:
        return _mean(np.tensordot(times, sums, 1), np.tensordot(times, counts, 1)).T

    low, high = percentile_intervals(images, means, max(images, sums[0].size))
    class_means = sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    residuals = np.abs(sums - counts * class_means).max(axis=(0, 1))
    unequal = residuals > _ROUNDING * np.abs(sums).max(axis=(0, 1))
    return np.where(unequal, low, np.nan), np.where(unequal, high, np.nan)


def percentile_intervals(
    images: int, statistics: Callable[[_Floats], _Floats], numbers: int
) -> tuple[_Floats, _Floats]:
    """Ends of the 95 % percentile intervals of statistics of images, which are drawn with replacement.

    Args:
        images: how many there are, at least :data:`MINIMUM_IMAGES`.
        statistics: gives (statistics, resamples) for how often each image is in each resample,
            (resamples, images).
        numbers: about how many numbers ``statistics`` handles for a resample; it bounds the memory.

    Returns:
        Low and high ends, (statistics,) each.
    """

    def of_drawn(drawn: NDArray[np.int64], axis: int = -1) -> Any:
        return statistics(_times_drawn(drawn, images))

    resampled = bootstrap(
        (np.arange(images),),
        of_drawn,
        vectorized=True,
        axis=-1,
        n_resamples=RESAMPLES,
        batch=max(1, _DRAWN_AT_ONCE // numbers),
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    interval: tuple[Any, Any] = resampled.confidence_interval
    return interval


def _times_drawn(drawn: NDArray[np.int64], images: int) -> _Floats:
    """How often each image is in each resample: (resamples, draws) indices to (resamples, images)."""
    offsets = images * np.arange(len(drawn))[:, None]
    times = np.bincount((drawn + offsets).ravel(), minlength=images * len(drawn))
    return times.reshape(len(drawn), images).astype(float)
