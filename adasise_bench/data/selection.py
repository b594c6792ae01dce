"""Which part of the pictures a shard has: decided by the picture's name alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from hashlib import blake2b


def parse_shard(text: str) -> tuple[int, int]:
    """``i/n`` as numbers.

    Raises:
        ValueError: not of that form, or not 1 <= i <= n.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise ValueError(f"shard: write it as I/N, with I from 1 to N, not {text!r}")
    return int(index), int(count)


def shard_of(image_id: str, count: int) -> int:
    """The shard, 1 to ``count``, that a picture belongs to, whatever other pictures there are."""
    return int.from_bytes(blake2b(image_id.encode(), digest_size=8).digest()) % count + 1


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
