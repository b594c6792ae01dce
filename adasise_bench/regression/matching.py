"""Finds which values of two runs belong to the same pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adasise_bench.records.columns import distinct
from adasise_bench.regression.values import ABSENT, PAIR, Values, aligned, places_among

Side = Literal["base", "new"]
SIDES: tuple[Side, Side] = ("base", "new")
_NAMED = 3


@dataclass(frozen=True)
class Pairs:
    """The pairs of one method on one network that either of two runs has, sorted.

    Attributes:
        pairs: the number of each pair: the place of its picture among ``names``, times the number of classes,
            plus the place of its class.
        names: the names of pictures and of classes of both runs.
        values: the values of each run.
        rows: where this method on this network stands in them.
        places: for each pair its place among these rows, -1 if the run does not have it; ``None`` if the
            rows are the pairs.
    """

    model: str
    method: str
    pairs: NDArray[np.int64]
    names: tuple[pa.Array, pa.Array]
    values: dict[Side, Values]
    rows: dict[Side, slice]
    places: dict[Side, NDArray[np.int64] | None]

    def __len__(self) -> int:
        """The number of pairs."""
        return len(self.pairs)

    def column(self, name: str, side: Side) -> pd.Series[Any]:
        """A column of one run, with a row for each pair; nothing where the run lacks the pair."""
        return aligned(self.values[side].column(name, self.rows[side]), self.places[side])

    def part(self, start: int, stop: int) -> Pairs:
        """The pairs from number ``start`` up to ``stop``."""
        rows, places = dict[Side, slice](), dict[Side, NDArray[np.int64] | None]()
        for side, own in self.places.items():
            first, last, places[side] = start, min(stop, len(self)), None
            if own is not None:
                wanted = own[start:stop]
                there = wanted[wanted != ABSENT]
                first, last = (int(there[0]), int(there[-1]) + 1) if len(there) else (0, 0)
                places[side] = np.where(wanted == ABSENT, ABSENT, wanted - first)
            rows[side] = slice(self.rows[side].start + first, self.rows[side].start + last)
        return replace(self, pairs=self.pairs[start:stop], rows=rows, places=places)

    def has(self, side: Side) -> NDArray[np.bool_]:
        """Which pairs this run has, with a value or not."""
        places = self.places[side]
        return np.ones(len(self), bool) if places is None else places != ABSENT

    def name(self, number: int) -> str:
        """The picture and the class of a pair."""
        images, classes = self.names
        image, of_class = divmod(int(self.pairs[number]), len(classes))
        return f"{images[image]} {classes[of_class]}".strip()

    def first_names(self, chosen: NDArray[np.bool_]) -> str:
        """The names of the first of the chosen pairs."""
        numbers = np.flatnonzero(chosen)
        shown = ", ".join(self.name(number) for number in numbers[:_NAMED])
        return shown + (", ..." if len(numbers) > _NAMED else "")


def matched(base: Values, new: Values) -> Iterator[Pairs]:
    """The pairs of each method on each network that either run has, sorted."""
    values: dict[Side, Values] = {"base": base, "new": new}
    names, translated = dict[str, pa.Array](), dict[str, dict[Side, NDArray[np.int64]]]()
    for column in PAIR:
        ours, theirs = base.names[column], new.names[column]
        both = ours if ours.equals(theirs) else pc.unique(pa.concat_arrays([ours, theirs]))
        names[column] = both.take(pc.array_sort_indices(both))
        translated[column] = {
            side: pc.index_in(one.names[column], names[column]).to_numpy().astype(np.int64)
            for side, one in values.items()
        }
    images, classes = (names[column] for column in PAIR)
    groups = {side: one.groups for side, one in values.items()}
    for group in sorted({*groups["base"], *groups["new"]}):
        rows = {side: of_side.get(group, slice(0, 0)) for side, of_side in groups.items()}
        numbers = {}
        for side, one in values.items():
            image, of_class = (translated[column][side][one.codes[column][rows[side]]] for column in PAIR)
            numbers[side] = image * len(classes) + of_class
        pairs = numbers["base"]
        if not np.array_equal(pairs, numbers["new"]):
            pairs = distinct(np.concatenate(list(numbers.values())))
        places = {side: places_among(pairs, own) for side, own in numbers.items()}
        yield Pairs(*group, pairs, (images, classes), values, rows, places)


def have_a_pair_in_common(base: Values, new: Values) -> bool:
    """Whether any explanation is in both runs."""
    return any(np.logical_and(*(pairs.has(side) for side in SIDES)).any() for pairs in matched(base, new))
