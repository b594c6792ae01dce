"""Means over (picture, class) pairs or classes, their uncertainty over pictures, and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
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

MOST_IMAGES_AT_ONCE = 5_000
"""Up to so many images, every resample draws each image by itself; more are drawn in blocks."""

_DRAWN_AT_ONCE = 2_000_000
_TOTALS_AT_ONCE = 2**25
_BLOCK = 4_096
_LEAST_BLOCKS = 32
_DRAWS_OF_A_BLOCK = 256
_ROUNDING = 1e-12

_Floats = NDArray[np.float64]


class _Totals(NamedTuple):
    """Sum and number of an image's values, each (images, classes, columns)."""

    columns: list[Hashable]
    sums: _Floats
    counts: _Floats


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


def estimate_means(
    values: pd.DataFrame | Iterable[pd.DataFrame], average: Average = "pairs"
) -> dict[Hashable, Estimate]:
    """The mean of every column, with a 95 % bootstrap interval over images.

    Images are drawn with replacement, each with all its pairs (a cluster bootstrap), and the statistic is
    the mean over the pairs drawn, or over the means of the classes drawn. The interval runs between the
    2.5 % and 97.5 % percentiles of 9999 such means. The interval is not BCa, because
    percentiles need no tie-breaking if many resamples have equal means (Increase), and are never undefined.
    There is no interval below :data:`MINIMUM_IMAGES` images, and none if all images have the same mean (in
    every class), because resampling then shows no spread. The seed is fixed, so that equal values give equal
    intervals, in any order of the rows. Many images are drawn in blocks: see :func:`_block_means`.

    Args:
        values: one float column per mean, NaN where there is no value; one row per pair, with ``image_id``
            as a level of its index, and ``class_name`` for averages over classes. If there are several
            frames, they have the same rows; memory holds one of them at a time.
        average: what the means are taken over.

    Returns:
        The estimates by column.
    """
    frames = [values] if isinstance(values, pd.DataFrame) else values
    estimates: dict[Hashable, Estimate] = {}
    for columns, sums, counts in _gathered(_totals(frame, average) for frame in frames):
        estimates |= _estimates(columns, sums, counts)
    return estimates


def _gathered(totals: Iterable[_Totals]) -> Iterator[_Totals]:
    """The totals of several frames joined, as many as memory may hold, because they share resamples."""
    held: list[_Totals] = []
    for found in totals:
        held.append(found)
        if len(found.sums) > MOST_IMAGES_AT_ONCE and sum(one.sums.nbytes for one in held) > _TOTALS_AT_ONCE:
            joined, held = _joined(held), []
            yield joined
    if held:
        yield _joined(held)


def _joined(held: Sequence[_Totals]) -> _Totals:
    columns = [column for one in held for column in one.columns]
    if len(held) == 1:
        return held[0]
    sums, counts = (
        np.concatenate(arrays, axis=-1) for arrays in zip(*(one[1:] for one in held), strict=True)
    )
    return _Totals(columns, sums, counts)


def _estimates(names: Sequence[Hashable], sums: _Floats, counts: _Floats) -> dict[Hashable, Estimate]:
    present = counts.sum(axis=1) > 0
    low, high = np.full((2, len(names)), np.nan)
    for columns in _columns_of_equal_images(present):
        images = present[:, columns[0]]
        low[columns], high[columns] = _intervals(sums[images][..., columns], counts[images][..., columns])
    estimates: dict[Hashable, Estimate] = {}
    for index, column in enumerate(names):
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


def _totals(values: pd.DataFrame, average: Average) -> _Totals:
    """Sum and number of an image's values; for pairs, all are one class."""
    if not values.index.is_monotonic_increasing:
        values = values.sort_index()
    values = values.astype(float)
    index = values.index
    if not isinstance(index, pd.MultiIndex):
        index = pd.MultiIndex.from_arrays([index], names=[index.name])
    images = _codes(index, "image_id")
    classes = _codes(index, "class_name") if average == "classes" else np.zeros(len(values), np.int8)
    grouped = values.groupby([images, classes])
    return _Totals(list(values.columns), _laid_out(grouped.sum()), _laid_out(grouped.count()))


def _codes(index: pd.MultiIndex, name: str) -> NDArray[np.int64]:
    """Numbers that order the rows as the names of a level do."""
    place = index.names.index(name)
    level, codes = index.levels[place], np.asarray(index.codes[place])
    rank = np.arange(len(level)) if level.is_monotonic_increasing else np.argsort(level.argsort())
    ordered: NDArray[np.int64] = rank[codes]
    return ordered


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

    class_means = sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    residuals = np.abs(sums - counts * class_means).max(axis=(0, 1))
    unequal = residuals > _ROUNDING * np.abs(sums).max(axis=(0, 1))
    ends = _ends_in_blocks if images > MOST_IMAGES_AT_ONCE else _ends
    low, high = ends(sums, counts)
    return np.where(unequal, low, np.nan), np.where(unequal, high, np.nan)


def _ends(sums: _Floats, counts: _Floats) -> tuple[_Floats, _Floats]:
    """Percentiles of the means of resamples, each of which draws every image by itself."""
    images = len(sums)

    def means(times: _Floats) -> Any:
        return _mean(np.tensordot(times, sums, 1), np.tensordot(times, counts, 1)).T

    return percentile_intervals(images, means, max(images, sums[0].size))


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


def _ends_in_blocks(sums: _Floats, counts: _Floats) -> tuple[_Floats, _Floats]:
    """Percentiles of the means of resamples that are made of blocks."""
    outside = 100 * (1 - CONFIDENCE) / 2
    means = _block_means(sums, counts, np.random.default_rng(SEED))
    ends: _Floats = np.percentile(means, [outside, 100 - outside], axis=0)
    return ends[0], ends[1]


def _block_means(sums: _Floats, counts: _Floats, rng: np.random.Generator) -> _Floats:
    """Means of :data:`RESAMPLES` resamples of many images, (resamples, columns).

    The images are divided at random into blocks. Each block is drawn some hundred times as a balanced
    bootstrap does (Davison, Hinkley and Schechtman 1986): in all its draws together, every image is drawn
    equally often. A resample is made of one draw of every block, chosen at random. This takes a time that is
    proportional to the images, and not to the images times the resamples. The ends of an interval then vary
    with the seed by about 0.03 standard errors, as those of resamples that draw each image do: 0.027 come
    from the number of resamples, and at most 0.015 from the number of draws.

    Args:
        sums: (images, classes, columns) sum of an image's values.
        counts: (images, classes, columns) number of them.
        rng: what is drawn with.
    """
    images, classes, columns = sums.shape
    blocks = np.array_split(rng.permutation(images), max(_LEAST_BLOCKS, -(-images // _BLOCK)))
    draws = _DRAWS_OF_A_BLOCK
    totals = np.zeros((RESAMPLES, 2 * classes * columns))
    for block in blocks:
        drawn = rng.permutation(np.tile(np.arange(len(block), dtype=np.int32), draws))
        times = _times_drawn(drawn.reshape(draws, len(block)), len(block))
        parts = [array[block].reshape(len(block), -1) for array in (sums, counts)]
        totals += (times @ np.hstack(parts))[rng.integers(draws, size=RESAMPLES)]
    shape = (RESAMPLES, classes, columns)
    means: _Floats = _mean(*(part.reshape(shape) for part in np.split(totals, 2, axis=1)))
    return means


def _times_drawn(drawn: NDArray[np.integer[Any]], images: int) -> _Floats:
    """How often each image is in each resample: (resamples, draws) indices to (resamples, images)."""
    offsets = images * np.arange(len(drawn))[:, None]
    times = np.bincount((drawn + offsets).ravel(), minlength=images * len(drawn))
    return times.reshape(len(drawn), images).astype(float)
