"""Which pictures a report of many pictures holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf

import numpy as np

from adasise_bench.reporting.report.index import Index

MOST_PICTURES = 1_000
"""A report of more pictures holds so many: the worst ones, and as many at random."""

_SEED = 0
_JUDGED_BY = "ebpg"


def pictures_to_hold(index: Index, pairs_of: Sequence[Mapping[int, object]]) -> list[int] | None:
    """The numbers of the pictures that the page holds; ``None`` if it holds all.

    Half of them are the worst: first those with an error, then those with a degenerate map, then those with
    the lowest mean EBPG of the methods that are not controls. The other half are drawn at random from the
    rest.

    Args:
        index: the records.
        pairs_of: for each picture, its pairs by their numbers.
    """
    if len(pairs_of) <= MOST_PICTURES:
        return None
    order = sorted(range(len(pairs_of)), key=lambda picture: _badness(index, pairs_of[picture]))
    worst, rest = order[: MOST_PICTURES // 2], order[MOST_PICTURES // 2 :]
    drawn = np.random.default_rng(_SEED).choice(rest, MOST_PICTURES - len(worst), replace=False)
    return sorted([*worst, *map(int, drawn)])


def _badness(index: Index, pairs: Mapping[int, object]) -> tuple[bool, bool, float]:
    """What pictures are sorted by, the worst first."""
    methods = [number for number, label in enumerate(index.methods) if label not in index.controls]
    failed = any(pair in index.errors[method] for method in methods for pair in pairs)
    degenerate = any(index.degenerate[method][pair] for method in methods for pair in pairs)
    metric = index.metrics.index(_JUDGED_BY)
    values = [index.values[method][metric][pair] for method in methods for pair in pairs]
    known = [value for value in values if value is not None]
    return not failed, not degenerate, sum(known) / len(known) if known else inf
