"""The values of a run that are compared, of which memory holds one column of one method at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from adasise_bench.metrics.registry import QUALITY
from adasise_bench.records.columns import sorted_codes
from adasise_bench.records.reading import Read, compact_frame
from adasise_bench.records.row_groups import ALL_ROWS

PAIR = ("image_id", "class_name")
KEY = ("model", "method", *PAIR)
MAPS = "maps_kept"
TIMES = ("seconds", "seconds_plain_forward")
VALUES = (*QUALITY, MAPS, "degenerate", "error", "seconds", "forwards", "seconds_plain_forward")
"""Columns of the records that are compared. An error is a text; a pair with an error has no other value."""

DECIMALS = 6
"""Of percentages; finer than two runs agree."""

ABSENT = -1
_GAP = 2**17
"""Rows that are not wanted, from which on they are left out: as many as one group of rows of a file has."""

_TIME_DIGITS = 4


@dataclass(frozen=True)
class Values:
    """The rounded values of a run, a row for each explanation, sorted by :data:`KEY`.

    Attributes:
        names: the different values of each column of the key, sorted. A class is empty if the annotation
            could not be used.
        codes: for each row and column of the key, the place of its value in ``names``.
        places: for each row, which of the rows that ``read`` reads it is.
        read: reads columns of rows.
        timed: whether the values have run-times.
    """

    names: Mapping[str, pa.Array]
    codes: Mapping[str, NDArray[np.signedinteger[Any]]]
    places: NDArray[np.integer[Any]]
    read: Read
    timed: bool = True

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.places)

    @cached_property
    def groups(self) -> dict[tuple[str, str], slice]:
        """The rows of each method on each network, sorted."""
        models, methods = self.names["model"], self.names["method"]
        both = self.codes["model"].astype(np.int32) * len(methods) + self.codes["method"]
        starts = np.flatnonzero(_starts(both))
        return {
            (models[both[start] // len(methods)].as_py(), methods[both[start] % len(methods)].as_py()): slice(
                int(start), int(stop)
            )
            for start, stop in pairwise([*starts, len(both)])
        }

    def only(self, methods: Collection[str]) -> Values:
        """The values of the methods with these labels."""
        wanted = np.array([name in methods for name in self.names["method"].to_pylist()], bool)
        kept = wanted[self.codes["method"]]
        codes = {name: codes[kept] for name, codes in self.codes.items()}
        return replace(self, codes=codes, places=self.places[kept])

    def column(self, name: str, rows: slice = ALL_ROWS) -> pd.Series[Any]:
        """One of :data:`VALUES` of these rows.

        Numbers are float64, texts are categories, and :data:`MAPS` has lists of Arrow. Percentages are
        rounded to :data:`DECIMALS` decimals and seconds to 4 digits.
        """
        places = self.places[rows]
        if name in TIMES and not self.timed:
            return pd.Series(np.full(len(places), np.nan))
        is_sorted = bool((places[1:] > places[:-1]).all())
        order = None if is_sorted else np.argsort(places)
        wanted = places if order is None else places[order]
        column = compact_frame(_rows_at(self.read, name, wanted.astype(np.int64)))[name]
        if order is not None:
            column = column.take(np.argsort(order)).reset_index(drop=True)
        if name in QUALITY:
            return column.astype(float).round(DECIMALS)
        if name in TIMES:
            return pd.Series(np.fromiter(map(_short, column.to_numpy(float)), float, len(column)))
        return column.astype(float) if name == "forwards" else column

    def pairs(self, rows: slice) -> NDArray[np.int64]:
        """A number for the picture and class of each of these rows, sorted within a group.

        It is the place of the picture among the names of pictures, times the number of classes, plus the
        place of the class.
        """
        image, of_class = (self.codes[name][rows] for name in PAIR)
        return image.astype(np.int64) * len(self.names["class_name"]) + of_class

    def pair_names(self, pairs: NDArray[np.int64]) -> tuple[pa.Array, pa.Array]:
        """The pictures and the classes of pairs."""
        images, classes = (self.names[name] for name in PAIR)
        return images.take(pa.array(pairs // len(classes))), classes.take(pa.array(pairs % len(classes)))


def _rows_at(read: Read, name: str, places: NDArray[np.int64]) -> Iterator[pa.Table]:
    """A column of the rows at these places, which are sorted; what lies in large gaps is not read."""
    for span in np.split(places, np.flatnonzero(np.diff(places) > _GAP) + 1):
        before, stop = (int(span[0]), int(span[-1]) + 1) if len(span) else (0, 0)
        for table in read([name], slice(before, stop)):
            first, last = np.searchsorted(span, [before, before + len(table)])
            whole = last - first == len(table)
            yield table if whole else table.take(pa.array(span[first:last] - before))
            before += len(table)


def _short(seconds: float) -> float:
    return float(f"{seconds:.{_TIME_DIGITS}g}")


def sorted_values(read: Read) -> Values:
    """The values of all records that ``read`` reads; of several with the same key, the first counts."""
    names, codes = dict[str, pa.Array](), dict[str, NDArray[Any]]()
    for name in KEY:
        codes[name], names[name] = sorted_codes([read], name)
    codes["class_name"], names["class_name"] = _never_null(codes["class_name"], names["class_name"])
    key = np.zeros(len(codes["model"]), np.int64)
    for name in KEY:
        key *= len(names[name])
        key += codes[name]
    places = np.argsort(key, kind="stable")
    places = places[_starts(key[places])]
    del key
    kept = places.astype(np.min_scalar_type(max(1, len(places))))  # a smaller type takes half of the memory
    return Values(names, {name: own[places] for name, own in codes.items()}, kept, read)


def _starts(numbers: NDArray[Any]) -> NDArray[np.bool_]:
    """Where sorted numbers differ from the one before."""
    starts = np.ones(len(numbers), bool)
    np.not_equal(numbers[1:], numbers[:-1], out=starts[1:])
    return starts


def _never_null(codes: NDArray[Any], names: pa.Array) -> tuple[NDArray[Any], pa.Array]:
    """The numbers of names, and the names, with an empty one, which is sorted first, in place of null."""
    if not (codes < 0).any():
        return codes, names
    if len(names) and names[0].as_py() == "":
        return np.maximum(codes, 0), names
    return codes.astype(np.min_scalar_type(-len(names) - 1)) + 1, pa.concat_arrays(
        [pa.array([""], names.type), names]
    )


def places_among(pairs: NDArray[np.int64], own: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Where each of the pairs stands among ``own``, -1 where it does not; ``None`` if the two are equal.

    Both are sorted, and ``own`` is a part of ``pairs``.
    """
    if len(own) == len(pairs):
        return None
    places = np.full(len(pairs), ABSENT)
    places[np.searchsorted(pairs, own)] = np.arange(len(own))
    return places


def aligned(column: pd.Series[Any], places: NDArray[np.int64] | None) -> pd.Series[Any]:
    """The values at these places, nothing where a place is -1; the column itself without places."""
    return column if places is None else column.reindex(places).reset_index(drop=True)
