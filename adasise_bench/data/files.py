"""Files whose content somebody else chose."""

from __future__ import annotations

from io import BufferedReader
from pathlib import Path


def regular(path: Path) -> BufferedReader:
    """Open a file for reading, but no pipe or device, on which reading may never end.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    if not path.is_file():
        raise FileNotFoundError(2, "no such file")
    return path.open("rb")
