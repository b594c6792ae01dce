"""What the report shows of each picture: its pixels, its boxes, and the maps of its classes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from adasise_bench.records.maps import kept_map, read_map
from adasise_bench.records.pictures import Gallery
from adasise_bench.records.record import Key
from adasise_bench.records.run import Run
from adasise_bench.reporting.report.index import Pair
from adasise_bench.reporting.report.thumbnails import map_thumbnail, picture_thumbnail
from adasise_bench.utils.errors import BenchError, DataError


@dataclass(frozen=True)
class Source:
    """A run with its pictures, or the reason why they cannot be shown.

    Attributes:
        image_ids: those of the pictures to show that the run has a record of.
    """

    run: Run
    pictures: Gallery | BenchError
    image_ids: frozenset[str]

    @classmethod
    def of(cls, run: Run, shown: Collection[str]) -> Source:
        """Open the pictures of a run; ``shown`` are the ids of those that are shown."""
        wanted = pa.array(sorted(shown), pa.string())
        found = (column.filter(pc.is_in(column, wanted)) for column in _ids(run))
        image_ids = frozenset(image_id for column in found for image_id in column.unique().to_pylist())
        try:
            return cls(run, Gallery.of(run), image_ids)
        except BenchError as error:
            return cls(run, error, image_ids)

    @property
    def data(self) -> str:
        """Name of the set that the pictures belong to."""
        return str(self.run.environment["data"]["name"])


def _ids(run: Run) -> Iterator[pa.ChunkedArray]:
    return (table["image_id"] for table in run.read(["image_id"]))


def picture_block(
    sources: Sequence[Source], image_id: str, pairs: Mapping[int, Pair], methods: Sequence[str]
) -> dict[str, Any]:
    """One picture with the maps of its pairs, ready for JSON.

    Args:
        sources: the runs in which to look, in this order.
        image_id: the picture.
        pairs: its pairs by their numbers.
        methods: the order of the maps.

    Returns:
        ``size`` (width, height), ``boxes`` (class, left, top, width, height in pixels; of a
        turned box also the degrees clockwise around its centre), ``webp`` and
        ``problem``, each ``None`` (or empty) where there is none; ``maps``: per pair, per method, ``None``
        where no map was saved, else ``{"webp": ...}`` or ``{"problem": ...}``.
    """
    holders = [source for source in sources if image_id in source.image_ids]
    return _picture(holders, image_id) | {
        "maps": {
            number: [_map(holders, pair.key(method)) for method in methods] for number, pair in pairs.items()
        }
    }


def _picture(sources: Sequence[Source], image_id: str) -> dict[str, Any]:
    found: dict[str, Any] = {"size": None, "boxes": [], "webp": None, "problem": None}
    for source in sources:
        if isinstance(source.pictures, BenchError):
            found["problem"] = found["problem"] or str(source.pictures)
            continue
        try:
            annotation = source.pictures.annotation(image_id)
            found["size"] = annotation.picture_size
            found["boxes"] = [
                [box.class_name, box.xmin - 1, box.ymin - 1, *box.length, *filter(None, [box.rotation])]
                for box in annotation.boxes
            ]
            webp = picture_thumbnail(source.pictures.picture(image_id))
        except DataError as error:
            found["problem"] = found["problem"] or str(error)
            continue
        return found | {"webp": webp, "problem": None}
    return found


def _map(sources: Sequence[Source], key: Key) -> dict[str, str] | None:
    folders = [source.run.folder for source in sources if kept_map(source.run.folder, key).exists()]
    if not folders:
        return None
    try:
        return {"webp": map_thumbnail(read_map(folders[0], key))}
    except DataError as error:
        return {"problem": str(error)}
