"""Parts of a run that are given to a worker: a few pictures of one model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil

from adasise_bench.data.dataset import Annotation
from adasise_bench.models.engine import Engine
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.record import Key, Record
from adasise_bench.run.config import RunConfig
from adasise_bench.run.plan import Plan
from adasise_bench.utils.errors import DataError

_PICTURES = 4


@dataclass(frozen=True)
class Chunk:
    """What a worker makes in one go.

    Attributes:
        model: the network.
        annotations: those of the chunk's pictures, as in a plan.
        digests: SHA-256 of each picture with its annotation, as the driver sees them.
        keys: the wanted records.
        attempt: 1, and one more for each worker that died over it.
    """

    model: str
    annotations: dict[str, Annotation | DataError]
    digests: dict[str, str]
    keys: frozenset[Key]
    attempt: int = 1

    def without(self, records: Sequence[Record]) -> Chunk:
        """The part that is left when these records have been made."""
        return replace(self, keys=self.keys - {record.key for record in records})

    def picture_by_picture(self) -> list[Chunk]:
        """The same work for another attempt, one chunk per picture, so that a bad picture harms no other."""
        parts = []
        for image_id, annotation in self.annotations.items():
            if keys := frozenset(key for key in self.keys if key.image_id == image_id):
                digests = {image_id: self.digests[image_id]}
                parts.append(Chunk(self.model, {image_id: annotation}, digests, keys, self.attempt + 1))
        return parts


def chunks_of(plan: Plan, todo: KeySet, digests: Mapping[str, str], pictures: int) -> Iterator[Chunk]:
    """Cut the work into chunks, in the plan's order.

    Args:
        plan: the run.
        todo: the wanted records.
        digests: SHA-256 of every picture with its annotation.
        pictures: number of pictures in a chunk.
    """
    for model in plan.config.models:
        wanted = (
            (image_id, keys)
            for image_id in plan.annotations
            if (keys := [key for key in plan.keys.of_image(model, image_id) if key in todo])
        )
        while some := list(islice(wanted, pictures)):
            annotations = {image_id: plan.annotations[image_id] for image_id, _ in some}
            known = {image_id: digests[image_id] for image_id in annotations}
            yield Chunk(model, annotations, known, frozenset(key for _, keys in some for key in keys))


def pictures_at_once(config: RunConfig, engines: Mapping[str, Engine], pictures: int, workers: int) -> int:
    """The number of pictures in a chunk: few, so that a slow worker gets less and no worker waits at the end.

    With shared forward passes, there are enough to fill a batch, but still several chunks per worker.

    Args:
        config: the run.
        engines: how networks are run.
        pictures: number of pictures in the run.
        workers: number of workers that share the chunks.
    """
    if not config.share_forwards:
        return _PICTURES
    together = [
        method.requests_at_once(engine.batch_size) or 1
        for engine in engines.values()
        for method in config.methods
    ]
    return max(_PICTURES, min(max(together), ceil(pictures / (4 * workers))))
