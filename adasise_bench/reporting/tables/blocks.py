"""Puts columns into blocks that stand below each other, where they do not fit beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def blocks(widths: Sequence[float], room: float) -> list[slice]:
    """The columns in as few blocks as the room takes, of about equal width.

    Args:
        widths: of the columns, with the gap before each.
        room: for one block; a wider column has a block of its own.

    Example:
        >>> from adasise_bench.reporting.tables.blocks import blocks
        >>> blocks([10, 10, 10, 10, 10], 45)
        [slice(0, 3, None), slice(3, 5, None)]
    """
    fewest = len(_filled(widths, room))
    least = sum(widths) / max(fewest, 1)
    limits = (least + (room - least) * step / _STEPS for step in range(_STEPS + 1))
    even = (_filled(widths, limit) for limit in limits if limit <= room)
    return next((found for found in even if len(found) == fewest), _filled(widths, room))


Cost = tuple[int, bool]
"""How many blocks a table takes, and whether its methods are lines instead of columns."""


def together(costs: Iterable[Cost]) -> tuple[int, int]:
    """The cost of several tables: how many blocks they take, and how many of them have methods as lines."""
    counts, lines = zip((0, False), *costs, strict=True)
    return sum(counts), sum(lines)


_STEPS = 20


def _filled(widths: Sequence[float], room: float) -> list[slice]:
    """The columns one after the other in blocks, each as full as it can be."""
    starts, used = [0], 0.0
    for index, width in enumerate(widths):
        if index > starts[-1] and used + width > room:
            starts.append(index)
            used = 0.0
        used += width
    ends = [*starts[1:], len(widths)]
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]
