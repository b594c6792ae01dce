"""Opens the pictures that a configuration asks for."""

from __future__ import annotations

import random
from collections.abc import Iterable

from adasise_bench.config import DataConfig
from adasise_bench.data.scenes import SCENE_CLASSES, embedded_root
from adasise_bench.data.voc import VocDataset, open_voc
from adasise_bench.sharding import parse_shard, shard_of


def open_dataset(config: DataConfig) -> VocDataset:
    """The set named by ``data``: the drawn scenes, or PASCAL VOC.

    Raises:
        ConfigError: no such year or image set.
        DataError: nothing usable at ``data.root``.
        OutputError: the drawn scenes cannot be stored.
    """
    if not config.embedded:
        return open_voc(config.root, config.year, config.image_set, config.download)
    scenes = open_voc(embedded_root(), "2007", "test")
    return VocDataset("drawn scenes", SCENE_CLASSES, scenes.images, scenes.annotations)


def chosen_images(
    image_ids: Iterable[str], sample: int | None, seed: int, limit: int | None, shard: str | None = None
) -> list[str]:
    """Image ids to explain: a random sample in the list's order, cut after ``limit``, and of these the shard.

    The sample depends on the list and the seed alone, and a smaller ``limit`` gives a prefix.
    """
    ids = list(image_ids)
    if sample is not None and sample < len(ids):
        drawn = set(random.Random(seed).sample(ids, sample))  # noqa: S311 - not for security
        ids = [image_id for image_id in ids if image_id in drawn]
    ids = ids[:limit]
    if shard is None:
        return ids
    index, count = parse_shard(shard)
    return [image_id for image_id in ids if shard_of(image_id, count) == index]
