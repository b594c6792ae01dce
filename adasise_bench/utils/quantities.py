"""Numbers with their units, as people say them."""

from __future__ import annotations

import math

_SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
_SCALES = ((10**12, "trillion"), (10**9, "billion"), (10**6, "million"))
_DAY = 86_400
_YEAR_DAYS = 365.25


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


def about(count: int, thing: str) -> str:
    """A large number and what it counts, rounded to three digits; below a million, as :func:`counted`.

    Example:
        >>> from adasise_bench.utils.quantities import about
        >>> about(1, "gradient"), about(29_942_112, "forward pass"), about(1_500_000_000, "gradient")
        ('1 gradient', '29.9 million forward passes', '1.5 billion gradients')
    """
    things = thing + ("es" if thing.endswith("s") else "s")
    for scale, word in _SCALES:
        if count >= 0.9995 * scale:  # what would be rounded to 1000 of the next smaller word
            return f"{three_digits(count / scale)} {word} {things}"
    return counted(count, thing, things)


def duration(seconds: float) -> str:
    """A time in the unit that suits it; what takes years is told in days as well.

    A year has 365.25 days.

    Example:
        >>> from adasise_bench.utils.quantities import duration
        >>> duration(90), duration(5400), duration(200_000), duration(1_500_000)
        ('90 s', '90 min', '2.3 days', '17 days')
        >>> duration(139_156_000)
        '4.4 years (1,611 days)'
    """
    seconds = max(0, round(seconds))
    if seconds < 120:
        return f"{seconds} s"
    if seconds < 7200:
        return f"{seconds // 60} min"
    if seconds < 2 * _DAY:
        return f"{seconds / 3600:.1f} h"
    days = seconds / _DAY
    if days < 9.95:
        return f"{days:.1f} days"
    if days < 2 * _YEAR_DAYS:
        return f"{days:.0f} days"
    years = days / _YEAR_DAYS
    return f"{years:,.{1 if years < 9.95 else 0}f} years ({days:,.0f} days)"


def short_duration(seconds: float) -> str:
    """A time that may be a small part of a second, to three digits.

    Example:
        >>> from adasise_bench.utils.quantities import short_duration
        >>> short_duration(0.0000423), short_duration(0.00941), short_duration(2.34567), short_duration(250)
        ('0.0423 ms', '9.41 ms', '2.35 s', '4 min')
    """
    if seconds >= 119.5:
        return duration(seconds)
    return f"{three_digits(seconds)} s" if seconds >= 0.9995 else f"{three_digits(1000 * seconds)} ms"


def three_digits(number: float) -> str:
    """A positive number with three significant digits, but all digits before the point, and without exponent.

    Example:
        >>> from adasise_bench.utils.quantities import three_digits
        >>> three_digits(12345.6), three_digits(2.5), three_digits(0.0000123456)
        ('12,346', '2.5', '0.0000123')
    """
    if number >= 99.95 or number == 0:
        return f"{number:,.0f}"
    digits = 2 - math.floor(math.log10(number))
    return f"{number:.{digits}f}".rstrip("0").rstrip(".")


def file_size(count: int) -> str:
    """A number of bytes in powers of 1000.

    Example:
        >>> from adasise_bench.utils.quantities import file_size
        >>> file_size(1), file_size(999), file_size(451_020_800)
        ('1 byte', '999 bytes', '451 MB')
    """
    if count == 1:
        return "1 byte"
    size, unit = float(count), 0
    while size >= 999.5 and unit < len(_SIZES) - 1:
        size, unit = size / 1000, unit + 1
    return f"{three_digits(size)} {_SIZES[unit]}"
