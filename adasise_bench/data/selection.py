"""Selects the pictures to explain: a random sample, the first ones, or a shard."""

from __future__ import annotations

import random
from collections.abc import Iterable
from hashlib import blake2b


def parse_shard(text: str) -> tuple[int, int]:
    """Read ``i/n`` as two numbers.

    Raises:
        ValueError: the text has another form, or i is not from 1 to n.

    Example:
        >>> from adasise_bench.data.selection import parse_shard
        >>> parse_shard("2/5")
        (2, 5)
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise ValueError(f"shard: write it as I/N, with I from 1 to N, not {text!r}")
    return int(index), int(count)


def shard_of(image_id: str, count: int) -> int:
    """The shard, from 1 to ``count``, that a picture belongs to. It depends on the picture's name alone."""
    return int.from_bytes(blake2b(image_id.encode(), digest_size=8).digest()) % count + 1


def chosen_images(
    image_ids: Iterable[str], sample: int | None, seed: int, limit: int | None, shard: str | None = None
) -> list[str]:
    """The image ids to explain: of a random sample the first ``limit``, and of these those of the shard.

    The sample is in the order of the list, and depends on the list and the seed alone. With a smaller
    ``limit``, the result is the beginning of what a larger one gives.

    Example:
        >>> from adasise_bench.data.selection import chosen_images
        >>> chosen_images(["a", "b", "c"], sample=None, seed=0, limit=2)
        ['a', 'b']
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
