"""Puts exported files in place, without replacing what somebody has changed in them since."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import read_text, refuse_special, write_text_atomically


class TextFile(NamedTuple):
    """A file to write.

    Attributes:
        path: where it goes.
        text: its content.
        content_of: makes of a text what must be equal in two files that say the same; it may raise
            ``ValueError`` for a text of another form.
    """

    path: Path
    text: str
    content_of: Callable[[str], Any] = str


def json_without(*keys: str) -> Callable[[str], Any]:
    """A :attr:`TextFile.content_of` for a JSON object, some of whose keys, such as a date, do not count."""

    def content_of(text: str) -> Any:
        tree = json.loads(text)
        if not isinstance(tree, dict):
            raise ValueError("no JSON object")
        return {key: value for key, value in tree.items() if key not in keys}

    return content_of


def write_files(files: Sequence[TextFile], *, update: bool) -> Iterator[Path]:
    """Write each file in one step. A file that says the same already is left as it is.

    Args:
        files: in the order in which they are written.
        update: whether files that are there and say something else are replaced.

    Yields:
        Their paths, when they are in place.

    Raises:
        OutputError: one of them cannot be written; or, before any is written, one is there, says something
            else, and shall not be replaced.
    """
    new = []
    for file in files:
        refuse_special(file.path)
        if _is_there(file):
            continue
        if file.path.exists() and not update:
            raise OutputError(
                f"{file.path}: exists, says something else than what would be written, and is left as it is; "
                "--update replaces it, and another --output keeps both"
            )
        new.append(file)
    for file in files:
        if file in new:
            write_text_atomically(file.path, file.text)
        yield file.path


def _is_there(file: TextFile) -> bool:
    try:
        return bool(file.content_of(read_text(file.path)) == file.content_of(file.text))
    except (OSError, ValueError, RecursionError):
        return False
