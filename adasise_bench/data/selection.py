"""Which part of the pictures a shard has: decided by the picture's name alone."""

from __future__ import annotations

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
