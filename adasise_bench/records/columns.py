"""The records of several runs, joined, and read one column at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adasise_bench.records.joining import of_measuring, refuse_disagreement, refuse_nothing
from adasise_bench.records.reading import Read
from adasise_bench.records.record import SCHEMA, Key
from adasise_bench.records.run import Run

_Floats = NDArray[np.float64]

_CACHED_BYTES = 2**26
_NOBODY = -1


@dataclass(frozen=True, eq=False)
class NetworkRecords:
    """The records of one network.

    Memory holds where each record stands, and the few columns that were read last.

    Attributes:
        model: the network.
        pairs: (image_id, class_name) of every pair, sorted; the class is NaN where an annotation could not be
            used.
        methods: labels in the order of their first records.
        first_rows: (pairs, methods) number of the row in which the record stands first, -1 where there
            is none.
        devices: where the run-times of each method were measured; ``None`` if they were not.
        values: reads a column as (pairs, methods) floats, NaN where there is no value; of a column of lists,
            the element of this number.
        errors: reads the texts of errors: numbers into a list, (pairs, methods), -1 where there is none.
    """

    model: str
    pairs: pd.MultiIndex
    methods: list[str]
    first_rows: NDArray[np.int64]
    devices: list[str | None]
    values: Callable[..., _Floats]
    errors: Callable[[], tuple[NDArray[np.int64], list[str]]]

    @property
    def present(self) -> NDArray[np.bool_]:
        """Where there is a record, (pairs, methods)."""
        present: NDArray[np.bool_] = self.first_rows >= 0
        return present

    @property
    def named(self) -> NDArray[np.bool_]:
        """Which pairs have a class, (pairs,)."""
        named: NDArray[np.bool_] = self.pairs.codes[1] >= 0
        return named

    def images(self, chosen: NDArray[np.bool_]) -> int:
        """The number of images of some pairs, which a (pairs,) array chooses."""
        return len(present_codes(self.pairs.codes[0][chosen]))

    def only(self, methods: Sequence[str]) -> NetworkRecords:
        """The records of some of the methods, in this order, and the pairs that any of them has.

        Args:
            methods: labels; those that the network does not have are left out.
        """
        methods = [method for method in methods if method in self.methods]
        if methods == self.methods:
            return self
        places = np.array([self.methods.index(method) for method in methods], np.intp)
        rows = np.flatnonzero(self.present[:, places].any(axis=1))
        chosen = np.ix_(rows, places)

        def values(column: str, element: int | None = None) -> _Floats:
            return self.values(column, element)[chosen]

        def errors() -> tuple[NDArray[np.int64], list[str]]:
            codes, texts = self.errors()
            return codes[chosen], texts

        return replace(
            self,
            pairs=self.pairs[rows],
            methods=methods,
            first_rows=self.first_rows[chosen],
            devices=[self.devices[place] for place in places],
            values=values,
            errors=errors,
        )

    def shared(self, column: str) -> _Floats:
        """A column that a pair's records share: for each pair, the first value that is there, (pairs,)."""
        values = self.values(column)
        first = np.isnan(values).argmin(axis=1)
        shared: _Floats = values[np.arange(len(values)), first]
        return shared


class _Rows(NamedTuple):
    """Where every row of all runs stands.

    Attributes:
        slots: number of its place: those of the first network, then those of the next one.
        starts: the number of each run's first row.
    """

    slots: NDArray[np.int64]
    starts: list[int]


def join(runs: Sequence[Run]) -> dict[str, NetworkRecords]:
    """The records of several runs by network.

    Records with equal keys become one record. Each column takes the first value that is not null, in the
    order of ``runs``. There are two exceptions. All run-times and the memory of one method on one model
    come from the first run that has run-times for them. And an error is dropped if another run has the
    explanation.

    Raises:
        ConfigError: two runs measured one model, or one method on it, under different settings, on other
            pictures, or for other classes.
        DataError: there is not one record, or records are damaged.
    """
    refuse_disagreement(runs)
    timed, starts, rows = [], [], 0
    for run in runs:
        starts.append(rows)
        for table in run.read(["seconds"]):
            rows += len(table)
            timed.append(_one_chunk(table["seconds"]).is_valid().to_numpy(zero_copy_only=False))
    refuse_nothing(runs, rows)
    coded = {name: sorted_codes([run.read for run in runs], name) for name in Key._fields}
    networks: list[tuple[str, pd.MultiIndex, list[int]]] = []
    slots, base = np.full(rows, _NOBODY, np.int64), 0
    model_codes, model_names = coded["model"]
    method_codes, method_names = coded["method"]
    image_codes, image_names = coded["image_id"]
    class_codes, class_names = coded["class_name"]
    levels = [
        pd.Index(image_names.to_pylist(), dtype=object),
        pd.Index(class_names.to_pylist(), dtype=object),
    ]
    for code in _in_order(model_codes):
        own = model_codes == code
        keys = image_codes[own].astype(np.int64)
        keys *= len(class_names) + 1
        keys += class_codes[own]
        keys += 1
        pairs: Any = distinct(keys)
        index = pd.MultiIndex(
            levels=levels,
            codes=[pairs // (len(class_names) + 1), pairs % (len(class_names) + 1) - 1],
            names=["image_id", "class_name"],
            verify_integrity=False,
        )
        methods = _in_order(method_codes[own])
        number = np.zeros(len(method_names), np.int64)
        number[methods] = np.arange(len(methods))
        place = np.searchsorted(pairs, keys)
        del keys
        place *= len(methods)
        place += number[method_codes[own]]
        place += base
        slots[own] = place
        del place
        base += len(pairs) * len(methods)
        networks.append((str(model_names[code]), index, methods))
    del own, image_codes, class_codes, coded
    pa.default_memory_pool().release_unused()
    found, base, laid_out = {}, 0, _Rows(slots, starts)
    has_time = np.concatenate(timed)
    for model, index, methods in networks:
        shape = (len(index), len(methods))
        labels = [str(method_names[method]) for method in methods]
        reader = _Reader(runs, laid_out, base, shape, has_time)
        found[model] = NetworkRecords(
            model,
            index,
            labels,
            reader.first_rows(),
            reader.devices(),
            lru_cache(max(1, _CACHED_BYTES // (8 * shape[0] * shape[1])))(reader.values),
            lru_cache(1)(reader.errors),
        )
        base += shape[0] * shape[1]
    return found


class _Reader:
    """Reads columns of one network, whose places begin at ``base``."""

    def __init__(
        self, runs: Sequence[Run], rows: _Rows, base: int, shape: tuple[int, int], timed: NDArray[np.bool_]
    ) -> None:
        self._runs, self._rows, self._base, self._shape = runs, rows, base, shape
        self._timed_in = self._first_timed(timed)

    def _slots(self, start: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        slots = self._rows.slots[start : start + count] - self._base
        return slots, (slots >= 0) & (slots < self._shape[0] * self._shape[1])

    def _first_timed(self, timed: NDArray[np.bool_]) -> NDArray[np.int64]:
        """For each method, the first run that has run-times of it, (methods,)."""
        first = np.full(self._shape[1], len(self._runs))
        ends = [*self._rows.starts[1:], len(timed)]
        for number, (start, end) in reversed(list(enumerate(zip(self._rows.starts, ends, strict=True)))):
            slots, own = self._slots(start, end - start)
            first[present_codes(slots[own & timed[start:end]] % self._shape[1])] = number
        return first

    def devices(self) -> list[str | None]:
        """What measured the run-times of each method."""
        return [
            of_measuring(self._runs[number]) if number < len(self._runs) else None
            for number in self._timed_in
        ]

    def first_rows(self) -> NDArray[np.int64]:
        """The number of the row in which each record stands first."""
        first = np.full(self._shape[0] * self._shape[1], _NOBODY)
        slots, own = self._slots(0, len(self._rows.slots))
        chosen = np.flatnonzero(own)[::-1]
        first[slots[chosen]] = chosen
        return first.reshape(self._shape)

    def _batches(self, column: str) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_], pa.Array]]:
        """Of every batch: places, which rows count, and the column. Rows of other networks do not count."""
        of_times = column.startswith("seconds") or column == "peak_memory_mb"
        for number, run in enumerate(self._runs):
            start = self._rows.starts[number]
            for table in run.read([column]):
                slots, own = self._slots(start, len(table))
                start += len(table)
                if of_times:
                    own &= self._timed_in[slots % self._shape[1]] == number
                if own.any() and table[column].null_count < len(table):
                    yield slots, own, _one_chunk(table[column])

    def values(self, column: str, element: int | None = None) -> _Floats:
        """A column; see :class:`NetworkRecords`."""
        found = np.full(self._shape[0] * self._shape[1], np.nan)
        for slots, own, array in self._batches(column):
            got = _floats(array, element)
            chosen = np.flatnonzero(own & ~np.isnan(got))[::-1]  # so that the first of several remains
            chosen = chosen[np.isnan(found[slots[chosen]])]
            found[slots[chosen]] = got[chosen]
        return found.reshape(self._shape)

    def errors(self) -> tuple[NDArray[np.int64], list[str]]:
        """Texts of errors, but for explanations that another run has."""
        texts: dict[str, int] = {}
        found = np.full(self._shape[0] * self._shape[1], _NOBODY)
        for slots, own, array in self._batches("error"):
            encoded = array.dictionary_encode()
            numbers = np.array(
                [texts.setdefault(text, len(texts)) for text in encoded.dictionary.to_pylist()]
            )
            codes = encoded.indices.fill_null(_NOBODY).to_numpy()
            chosen = np.flatnonzero(own & (codes >= 0))[::-1]
            chosen = chosen[found[slots[chosen]] == _NOBODY]
            found[slots[chosen]] = numbers[codes[chosen]]
        found = found.reshape(self._shape)
        if texts:
            found[~np.isnan(self.values("score"))] = _NOBODY
        return found, list(texts)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    whole = column.combine_chunks()
    return whole if isinstance(whole, pa.Array) else pa.concat_arrays(whole.chunks)


def _floats(array: pa.Array, element: int | None) -> _Floats:
    if not pa.types.is_list(array.type):
        numbers: _Floats = array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
        return numbers
    lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    number = element or 0
    has = lengths > number
    found = np.full(len(array), np.nan)
    flat = array.flatten().to_numpy(zero_copy_only=False)
    found[has] = flat[(np.cumsum(lengths) - lengths)[has] + number]
    return found


def sorted_codes(reads: Sequence[Read], name: str) -> tuple[NDArray[np.signedinteger[Any]], pa.Array]:
    """A column of text as numbers into its sorted different values, -1 for null, and these values.

    The numbers have as few bytes as they need.
    """
    parts = [_one_chunk(table[name]).dictionary_encode() for read in reads for table in read([name])]
    chunks = pa.chunked_array(parts).unify_dictionaries().chunks
    del parts
    order = pc.array_sort_indices(chunks[0].dictionary).to_numpy()
    rank = np.full(len(order) + 1, _NOBODY, np.min_scalar_type(-max(1, len(order))))  # the last: for null
    rank[order] = np.arange(len(order))
    codes = np.concatenate([rank[chunk.indices.fill_null(_NOBODY).to_numpy()] for chunk in chunks])
    return codes, chunks[0].dictionary.take(pa.array(order))


def distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """The different values, sorted. np.unique hashes them, which takes longer the more there are."""
    ordered = np.sort(keys)
    different: NDArray[np.int64] = ordered[
        np.concatenate([np.ones(min(1, len(keys)), np.bool_), ordered[1:] != ordered[:-1]])
    ]
    return different


def present_codes(codes: NDArray[Any]) -> NDArray[np.intp]:
    """The different values of numbers from 0, sorted, in a time that is proportional to their number."""
    return np.flatnonzero(np.bincount(codes))


def _in_order(codes: NDArray[Any]) -> list[int]:
    """The different codes in the order of their first appearance."""
    values, first = np.unique(codes, return_index=True)
    return [int(value) for value in values[np.argsort(first)]]


def has(networks: Mapping[str, NetworkRecords], column: str) -> bool:
    """Whether any record has a value in this column."""
    return any(not np.isnan(network.values(column)).all() for network in networks.values())


def words(runs: Sequence[Run], networks: Mapping[str, NetworkRecords], column: str) -> dict[str, int]:
    """How many records have each of the different values of a column of text.

    Args:
        runs: the runs that were joined.
        networks: their records.
        column: the column; of a record that several runs have, its first row counts.
    """
    chunks = [chunk for run in runs for table in run.read([column]) for chunk in table[column].chunks]
    rows = np.concatenate([network.first_rows[network.present] for network in networks.values()])
    counted = (
        pa.chunked_array(chunks, SCHEMA.field(column).type).take(pa.array(rows)).value_counts().to_pylist()
    )
    return {entry["values"]: entry["counts"] for entry in counted if entry["values"] is not None}
