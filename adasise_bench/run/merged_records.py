"""Puts the records of shards into the order of the whole run, some thousand at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adasise_bench.data.names import Names
from adasise_bench.records.columns import sorted_codes
from adasise_bench.records.finished_file import ROWS_PER_GROUP, write_finished
from adasise_bench.records.lines import lines_of
from adasise_bench.records.reading import as_damage, finished_tables, reader
from adasise_bench.records.record import Key

_Ints = NDArray[np.signedinteger[Any]]

_NOWHERE = -1


@dataclass(frozen=True)
class ShardKeys:
    """Where the records of one shard belong, as numbers.

    Attributes:
        path: the shard's finished file.
        image_ids: the different ids of images, sorted.
        codes: per column of the key, (rows,) the number of its value among the sorted different ones.
        images: (rows,) the number of each record's image in the whole run, -1 if the run does not have it.
        blocks: (rows,) the number of its model and method in the whole run, -1 likewise.
        pairs: (rows,) the number of its pair in ``pair_images``, -1 if the run does not have its image.
        pair_images: (pairs,) the image of each pair. They are sorted by image; the pairs of one image are in
            the order in which they come first.
        pair_rows: (pairs,) the first record of each pair.
        failed: (rows,) which records are errors.
    """

    path: Path
    image_ids: pa.Array
    codes: dict[str, NDArray[Any]]
    images: _Ints
    blocks: _Ints
    pairs: _Ints
    pair_images: _Ints
    pair_rows: _Ints
    failed: NDArray[np.bool_]

    def key(self, row: int) -> Key:
        """The key of one record."""
        start = 0
        for table in reader(self.path.parent)(Key._fields):
            if row < start + len(table):
                return Key(**table.slice(row - start, 1).to_pylist()[0])
            start += len(table)
        raise IndexError(row)

    def first_of_image(self, image: int) -> int:
        """The first record of an image; ``image`` is its number in :attr:`image_ids`."""
        return int(np.argmax(self.codes["image_id"] == image))


def read_keys(path: Path, names: Names, models: Sequence[str], methods: Sequence[str]) -> ShardKeys:
    """Read the keys of a shard.

    Args:
        path: its finished file.
        names: the images of the whole run.
        models, methods: of the whole run.

    Raises:
        DataError: the file is damaged.
    """
    read = reader(path.parent)
    found = {name: sorted_codes([read], name) for name in Key._fields}
    codes = {name: numbers for name, (numbers, _) in found.items()}
    values = {name: different for name, (_, different) in found.items()}
    places = (names.find(image_id.as_py()) for image_id in values["image_id"])
    of_image = np.fromiter((_NOWHERE if place is None else place for place in places), np.int32)
    images = of_image[codes["image_id"]]
    of_model, of_method = (
        _numbers_in(known, values[column].to_pylist())[codes[column]]
        for column, known in (("model", models), ("method", methods))
    )
    blocks = np.where((of_model < 0) | (of_method < 0), _NOWHERE, of_model * len(methods) + of_method)
    failed = [table["error"].is_valid().to_numpy() for table in read(["error"])]
    pairs = _pairs(images, codes["class_name"], len(values["class_name"]))
    return ShardKeys(path, values["image_id"], codes, images, blocks, *pairs, np.concatenate(failed))


def _numbers_in(known: Sequence[str], names: Sequence[str]) -> _Ints:
    """The places of names in a list, -1 for those that it does not have."""
    return np.array([known.index(name) if name in known else _NOWHERE for name in names], np.int32)


def _pairs(images: _Ints, classes: NDArray[Any], count: int) -> tuple[_Ints, _Ints, _Ints]:
    """The pairs of :class:`ShardKeys`; ``count`` is the number of different classes."""
    distinct, first, of_row = np.unique(
        images.astype(np.int64) * (count + 1) + classes + 1, return_index=True, return_inverse=True
    )
    elsewhere = int((distinct < 0).sum())
    image_of, first = distinct[elsewhere:] // (count + 1), first[elsewhere:]
    order = np.lexsort((first, image_of))
    place = np.full(len(distinct), _NOWHERE, np.int32)
    place[elsewhere + order] = np.arange(len(order))
    return place[of_row], image_of[order], first[order]


class MergedOrder:
    """The order of the finished file of a whole run: by model, method, picture and class.

    Behind the planned records come those of models, methods and pictures that the run does not have, except
    for errors of pictures that it has.

    Args:
        shards: their keys.
        images: number of images of the whole run.
        blocks: number of its models times its methods.
    """

    def __init__(self, shards: Sequence[ShardKeys], images: int, blocks: int) -> None:
        counts = np.zeros(images + 1, np.int64)
        for shard in shards:
            counts[1:] += np.bincount(shard.pair_images, minlength=images)
        self._paths = [shard.path for shard in shards]
        self._first = counts.cumsum()
        self.pairs = int(self._first[-1])
        self.planned = blocks * self.pairs
        self.total = self.planned
        self.places = [self._places(shard) for shard in shards]

    def _places(self, shard: ShardKeys) -> _Ints:
        """Where each record of a shard stands, -1 for one that is left out."""
        of_image = np.arange(len(shard.pair_images)) - shard.pair_images.searchsorted(shard.pair_images)
        pair = (self._first[shard.pair_images] + of_image)[shard.pairs] if len(of_image) else shard.pairs
        others = (shard.blocks < 0) | (shard.pairs < 0)
        places: _Ints = np.where(others, _NOWHERE, shard.blocks.astype(np.int64) * self.pairs + pair)
        kept = _last_of_each(shard, np.flatnonzero(others))
        places[kept] = np.arange(self.total, self.total + len(kept))
        self.total += len(kept)
        return places

    def twice(self, number: int) -> int | None:
        """The first record of a shard whose key another one has before it."""
        places = self.places[number]
        rows = np.flatnonzero((places >= 0) & (places < self.planned))
        order = places[rows].argsort(kind="stable")
        again = order[1:][np.diff(places[rows][order]) == 0]
        return int(rows[again.min()]) if len(again) else None

    def lacking(self) -> list[int]:
        """The places of planned records that no shard has."""
        lacking = np.ones(self.planned, np.bool_)
        for places in self.places:
            lacking[places[(places >= 0) & (places < self.planned)]] = False
        found: list[int] = np.flatnonzero(lacking).tolist()
        return found

    def image_and_class(self, place: int) -> tuple[int, int]:
        """The number of a planned record's image, and of its pair among those of the image."""
        pair = place % self.pairs
        image = int(self._first.searchsorted(pair, "right")) - 1
        return image, pair - int(self._first[image])

    def write_lines(self, path: Path) -> None:
        """Write all records as lines, shard by shard.

        Raises:
            DataError: a shard is damaged.
            OSError: they cannot be written.
        """
        with path.open("wb") as file:
            for shard in self._paths:
                for table in finished_tables(shard):
                    with as_damage(shard):
                        lines = lines_of(table)
                    file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())

    def write_finished(self, path: Path) -> None:
        """Write the records in their order as a finished file.

        Raises:
            DataError: a shard is damaged.
            OSError: it cannot be written.
        """
        write_finished(path, self._tables())

    def _tables(self) -> Iterator[pa.Table]:
        cursors = [_Cursor(path) for path in self._paths]
        orders = [places.argsort(kind="stable") for places in self.places]
        for start in range(0, self.total, ROWS_PER_GROUP):
            tables, stand = [], []
            for cursor, places, order in zip(cursors, self.places, orders, strict=True):
                begin, end = places.searchsorted([start, start + ROWS_PER_GROUP], sorter=order)
                if begin < end:
                    rows = np.sort(order[begin:end])
                    tables.append(cursor.take(rows))
                    stand.append(places[rows])
            group = pa.concat_tables(tables).combine_chunks()
            yield group.take(pa.array(np.concatenate(stand).argsort()))


def _last_of_each(shard: ShardKeys, rows: _Ints) -> _Ints:
    """Of some records with equal keys the last ones, without errors of images that the run has."""
    if not len(rows):
        return rows
    keys = np.stack([codes[rows] for codes in shard.codes.values()])
    _, first, of_row = np.unique(keys, axis=1, return_index=True, return_inverse=True)
    last = np.zeros(len(first), np.int64)
    np.maximum.at(last, of_row.ravel(), np.arange(len(rows)))
    kept: _Ints = rows[last[first.argsort()]]
    return kept[~(shard.failed[kept] & (shard.images[kept] >= 0))]


class _Cursor:
    """Reads rows of a finished file forwards; a row before those that are held begins anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self._tables, self._held, self._start, self._end = finished_tables(self._path), pa.table({}), 0, 0

    def take(self, rows: _Ints) -> pa.Table:
        """Some rows, in ascending order."""
        if rows[0] < self._start:
            self._begin()
        parts = []
        while len(rows):
            while rows[0] >= self._end:
                self._held, self._start = next(self._tables), self._end
                self._end += len(self._held)
            count = int(rows.searchsorted(self._end))
            parts.append(self._held.take(pa.array(rows[:count] - self._start)))
            rows = rows[count:]
        return pa.concat_tables(parts)
