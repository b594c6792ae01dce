"""Checks class names that come from elsewhere, because records and folders will contain them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_LONGEST = 80


def refuse_unusable(classes: Sequence[Any]) -> None:
    """Refuse class names that cannot be printed on a line, or that occur twice.

    Raises:
        ValueError: names one such class.
    """
    for name in classes:
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ValueError(f"class {str(name)[:_LONGEST]!r} has no printable name")
        if len(name.encode()) > _LONGEST:
            raise ValueError(f"class {name[:_LONGEST]!r}: a name has at most {_LONGEST} bytes")
        if ".." in re.split(r"[/\\]", name):
            raise ValueError(f"class {name!r}: a path that leads upwards is no name")
    repeated = {name for name in classes if classes.count(name) > 1}
    if repeated:
        raise ValueError(f"class {min(repeated)!r} is there twice")
