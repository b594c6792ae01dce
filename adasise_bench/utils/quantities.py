"""Numbers with their units, as people say them."""

from __future__ import annotations

_SIZES = ("bytes", "kB", "MB", "GB", "TB")


def counted(count: int, thing: str, things: str = "") -> str:
    """A number and what it counts, in the singular or the plural.

    Args:
        count: how many.
        thing: the singular.
        things: the plural; by default the singular with an s.

    Example:
        >>> from adasise_bench.utils.quantities import counted
        >>> counted(1, "map"), counted(4952, "picture")
        ('1 map', '4,952 pictures')
    """
    return f"{count:,} {thing if count == 1 else things or thing + 's'}"


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> from adasise_bench.utils.quantities import duration
        >>> duration(90), duration(5400), duration(200_000)
        ('90 s', '90 min', '2.3 days')
    """
    seconds = max(0, round(seconds))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"


def file_size(count: int) -> str:
    """A number of bytes in powers of 1000.

    Example:
        >>> from adasise_bench.utils.quantities import file_size
        >>> file_size(999), file_size(451_020_800)
        ('999 bytes', '451 MB')
    """
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(_SIZES) - 1:
        size, unit = size / 1000, unit + 1
    return f"{size:.3g} {_SIZES[unit]}"
