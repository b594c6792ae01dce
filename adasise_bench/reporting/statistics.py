"""Means over (picture, class) pairs or classes, their uncertainty over pictures, and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adasise_bench.metrics.registry import Average

CONFIDENCE = 0.95
RESAMPLES = 9999
SEED = 0
MINIMUM_IMAGES = 10
"""With fewer images, a percentile interval contains the true mean clearly less often than it promises."""

MOST_IMAGES_AT_ONCE = 5_000
"""Up to so many images, every resample draws each image by itself; more are drawn in blocks."""

_DRAWN_AT_ONCE = 2_000_000
_TOTALS_AT_ONCE = 2**23
_BLOCK = 16_384
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
    intervals, in any order of the rows. Many images are drawn in blocks: see :func:`_block_totals`.

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

    def totals() -> Iterator[_Totals]:
        for frame in frames:
            if average == "classes" and _image_count(frame) > MOST_IMAGES_AT_ONCE:
                estimates.update(_estimates_of_classes(frame))
            else:
                yield _totals(frame, average)

    for found in _gathered(totals()):
        estimates |= _estimates(*found)
        del found  # before the next frame is read
    return estimates


def _gathered(totals: Iterable[_Totals]) -> Iterator[_Totals]:
    """The totals of several frames joined, as many as memory may hold, because they share resamples."""
    held: list[_Totals] = []
    for found in totals:
        held.append(found)
        if len(found.sums) > MOST_IMAGES_AT_ONCE and sum(one.sums.nbytes for one in held) > _TOTALS_AT_ONCE:
            del found
            yield _taken(held)
    if held:
        yield _taken(held)


def _taken(held: list[_Totals]) -> _Totals:
    """The totals joined, and no longer held."""
    joined = _joined(held)
    held.clear()
    return joined


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


def _image_count(values: pd.DataFrame) -> int:
    return len(_compressed(_codes(cast(pd.MultiIndex, values.index), "image_id"))[0])


def _compressed(codes: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The different codes, sorted, and the place of every code among them."""
    different = np.flatnonzero(np.bincount(codes))
    return different, different.searchsorted(codes)


def _estimates_of_classes(values: pd.DataFrame) -> dict[Hashable, Estimate]:
    """The means over classes of many images, column by column.

    An image shows few of the classes. Therefore its totals are a row of a sparse matrix, whose size is
    that of the values, and not images times classes.
    """
    from scipy.sparse import csr_array, hstack

    index = cast(pd.MultiIndex, values.index)
    (image_codes, images), (class_codes, classes) = (
        _compressed(_codes(index, name)) for name in ("image_id", "class_name")
    )
    shape, estimates = (len(image_codes), len(class_codes)), {}
    for column in values:
        numbers = values[column].to_numpy(float)
        has = np.flatnonzero(~np.isnan(numbers))
        places = images[has], classes[has]
        sums = csr_array((numbers[has], places), shape)
        counts = csr_array((np.ones(len(has)), places), shape)
        own = np.flatnonzero(np.diff(counts.indptr))
        if len(own) > MOST_IMAGES_AT_ONCE:
            low, high = _ends_of_classes(hstack([sums, counts], "csr")[own], shape[1])
        else:
            low, high = _intervals(*(totals[own].toarray()[..., None] for totals in (sums, counts)))
        of_class = [_column_sums(totals)[:, None] for totals in (sums, counts)]
        estimates[column] = Estimate(
            mean=float(_mean(*of_class)[0]) if len(has) else None,
            low=None if np.isnan(low[0]) else float(low[0]),
            high=None if np.isnan(high[0]) else float(high[0]),
            pairs=len(has),
            images=len(own),
        )
    return estimates


def _column_sums(matrix: Any) -> _Floats:
    """The sums of a sparse matrix's columns, added in the order in which those of a dense one are."""
    by_column, sums = matrix.tocsc(), np.zeros(matrix.shape[1])
    for number in range(len(sums)):
        entries = slice(*by_column.indptr[number : number + 2])
        column = np.zeros(matrix.shape[0])
        column[by_column.indices[entries]] = by_column.data[entries]
        sums[number] = column.sum()
    return sums


def _ends_of_classes(totals: Any, classes: int) -> tuple[_Floats, _Floats]:
    """Ends of the interval of many images, (1,) each; NaN if there is none.

    Args:
        totals: (images, 2 classes) sparse matrix: the sums of an image's values, then their numbers.
        classes: how many there are.
    """
    of_class = _column_sums(totals)
    means = of_class[:classes] / np.maximum(of_class[classes:], 1)
    sums, counts = totals[:, :classes], totals[:, classes:]
    unequal = (
        np.abs(sums.data - counts.data * means[sums.indices]).max() > _ROUNDING * np.abs(sums.data).max()
    )
    if not unequal:
        return np.full(1, np.nan), np.full(1, np.nan)
    resampled = _block_totals(totals.shape[0], totals.shape[1], totals.__getitem__, SEED)
    return _percentiles(_mean(*(part[..., None] for part in np.split(resampled, 2, axis=1))))


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

    unequal = [_are_unequal(sums[..., column], counts[..., column]) for column in range(columns)]
    ends = _ends_in_blocks if images > MOST_IMAGES_AT_ONCE else _ends
    low, high = ends(sums, counts)
    return np.where(unequal, low, np.nan), np.where(unequal, high, np.nan)


def _are_unequal(sums: _Floats, counts: _Floats) -> bool:
    """Whether images have different means in a class; (images, classes) both."""
    class_means = sums.sum(axis=0) / np.maximum(counts.sum(axis=0), 1)
    return bool(np.abs(sums - counts * class_means).max() > _ROUNDING * np.abs(sums).max())


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

    from scipy.stats import bootstrap  # here, because it takes long to import, and large runs do not need it

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
    images, classes, columns = sums.shape

    def totals(block: NDArray[np.int64]) -> _Floats:
        return np.hstack([array[block].reshape(len(block), -1) for array in (sums, counts)])

    resampled = _block_totals(images, 2 * classes * columns, totals, SEED)
    shape = (RESAMPLES, classes, columns)
    return _percentiles(_mean(*(part.reshape(shape) for part in np.split(resampled, 2, axis=1))))


def _percentiles(means: _Floats) -> tuple[_Floats, _Floats]:
    """Ends of the intervals of (resamples, columns) means."""
    outside = 100 * (1 - CONFIDENCE) / 2
    ends: _Floats = np.percentile(means, [outside, 100 - outside], axis=0)
    return ends[0], ends[1]


def _block_totals(
    images: int, numbers: int, totals: Callable[[NDArray[np.int64]], Any], seed: int
) -> _Floats:
    """Totals of :data:`RESAMPLES` resamples of many images, (resamples, numbers).

    The images are divided at random into blocks. Each block is drawn some hundred times as a balanced
    bootstrap does (Davison, Hinkley and Schechtman 1986): in all its draws together, every image is drawn
    equally often. Blocks of equal length share these draws, because it is random which images a block has. A
    resample is made of one draw of every block, chosen at random. This takes a time that is
    proportional to the images, and not to the images times the resamples. The ends of an interval then vary
    with the seed by about 0.03 standard errors, as those of resamples that draw each image do: 0.027 come
    from the number of resamples, and at most 0.015 from the number of draws.

    Args:
        images: how many there are.
        numbers: how many totals an image has.
        totals: gives the totals of some images, as an array or a sparse matrix (images, numbers).
        seed: of what is drawn.
    """
    rng = np.random.default_rng(seed)
    blocks = np.array_split(rng.permutation(images), max(_LEAST_BLOCKS, -(-images // _BLOCK)))
    resampled = np.zeros((RESAMPLES, numbers))
    for block in blocks:
        drawn = _balanced_draws(len(block), seed) @ totals(block)
        resampled += drawn[rng.integers(_DRAWS_OF_A_BLOCK, size=RESAMPLES)]
    return resampled


@lru_cache(2)  # array_split makes blocks of at most two lengths
def _balanced_draws(images: int, seed: int) -> _Floats:
    """How often an image is in each draw of a block, (draws, images); all are drawn equally often."""
    rng = np.random.default_rng([seed, images])
    drawn = rng.permutation(np.tile(np.arange(images, dtype=np.int32), _DRAWS_OF_A_BLOCK))
    return _times_drawn(drawn.reshape(_DRAWS_OF_A_BLOCK, images), images)


def _times_drawn(drawn: NDArray[np.integer[Any]], images: int) -> _Floats:
    """How often each image is in each resample: (resamples, draws) indices to (resamples, images)."""
    offsets = images * np.arange(len(drawn))[:, None]
    times = np.bincount((drawn + offsets).ravel(), minlength=images * len(drawn))
    return times.reshape(len(drawn), images).astype(float)
