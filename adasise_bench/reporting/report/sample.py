"""Which pictures a report of many pictures holds, and which pairs it lists."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adasise_bench.reporting.report.index import Places

MOST_PICTURES = 1_000
"""A report of more pictures holds so many: the worst ones, and as many at random."""

MOST_MAPS = 20_000
"""It holds fewer pictures if these have more maps than so many together, which are about 40 MB."""

MOST_NUMBERS = 2_500_000
"""The most values of metrics that a report holds, about 45 MB: those of 50,000 pairs by 8 methods."""

_SEED = 0
_JUDGED_BY = "ebpg"

_Ints = NDArray[np.int64]


class Choice(NamedTuple):
    """The numbers of the pictures whose pairs are listed, and of those that are held as well; sorted."""

    listed: _Ints
    held: _Ints


def choose(places: Places, methods: Sequence[str], controls: Collection[str], metrics: int) -> Choice:
    """Which pictures a report shows.

    If there are more than :data:`MOST_PICTURES`, or if they have more maps than :data:`MOST_MAPS`, half of
    those that the page holds are the worst: first those with an error, then those with a degenerate map, then
    those with the lowest mean EBPG of the methods that are not controls. The other half are drawn at random
    from the rest. The pairs of all others are listed without their pictures, or of as many at random as
    :data:`MOST_NUMBERS` allows.

    Args:
        places: all pairs.
        methods, controls: labels; those that are shown, and those of them that are controls.
        metrics: how many are shown.
    """
    count = places.picture_count
    most = max(1, min(MOST_PICTURES, MOST_MAPS * count // (len(places) * len(methods))))
    if count <= most:
        return Choice(np.arange(count), np.arange(count))
    order = _worst_first(places, [method for method in methods if method not in controls])
    worst, rest = order[: most // 2], order[most // 2 :]
    order = np.concatenate([worst, np.random.default_rng(_SEED).permutation(rest)])
    numbers = np.cumsum(np.bincount(places.pictures)[order]) * len(methods) * metrics
    listed = max(most, int(numbers.searchsorted(MOST_NUMBERS, "right")))
    return Choice(np.sort(order[:listed]), np.sort(order[:most]))


def _worst_first(places: Places, methods: Sequence[str]) -> _Ints:
    """The numbers of the pictures, the worst first."""
    failed, flat, total, known = np.zeros((4, places.picture_count))
    for method in methods:
        failed[places.pictures[list(places.errors(method))]] = 1
        flat[places.pictures[places.of_method("degenerate", method) == 1]] = 1
    for method in methods:
        values = places.of_method(_JUDGED_BY, method)
        has = ~np.isnan(values)
        total += np.bincount(places.pictures[has], values[has], len(total))
        known += np.bincount(places.pictures[has], minlength=len(total))
    mean = np.divide(total, known, out=np.full(len(total), np.inf), where=known > 0)
    worst: _Ints = np.lexsort((mean, 1 - flat, 1 - failed))
    return worst
