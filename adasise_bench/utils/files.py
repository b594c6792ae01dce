"""Reads and writes files that somebody else may have put there: only plain files are read or replaced."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from adasise_bench.utils.errors import OutputError

TEMPORARY = ".tmp"
"""The end of the names of hidden files that :func:`write_atomically` leaves if the process is killed."""

LONGEST_LINE = 2**20
"""The most bytes of a line of a run folder's files; the tool writes a few thousand at most."""

_LARGEST_TEXT = 2**26

_AGAIN = "and give the same command again; what is finished is kept"

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

_KINDS: tuple[tuple[Callable[[int], bool], str], ...] = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)


def regular(path: Path, *, within: Path | None = None) -> BufferedReader:
    """Open a plain file for reading; pipes and devices are refused, because reading them may never end.

    Args:
        path: the file, or a link to it.
        within: a folder that somebody else may have filled; links must not lead out of it.

    Raises:
        OSError: there is no such file, it is not a plain file, a link leads out of ``within``, or it cannot
            be read.
    """
    if within is not None:
        refuse_leading_out(path, within)
    if not path.is_file():
        if path.exists() and not path.is_dir():
            raise OSError(errno.EINVAL, "not a plain file")
        raise FileNotFoundError(errno.ENOENT, "no such file")
    return path.open("rb")


def refuse_leading_out(path: Path, folder: Path) -> None:
    """Refuse a path that is, or passes through, a link out of ``folder``.

    Raises:
        OSError: it leads elsewhere.
    """
    target = Path(os.path.realpath(path))
    if not target.is_relative_to(os.path.realpath(folder)):
        raise OSError(
            errno.EXDEV, f"a link that leads out of the folder, to {target}; put the file itself there"
        )


def read_text(path: Path, *, within: Path | None = None, most: int = _LARGEST_TEXT) -> str:
    """The UTF-8 text of a plain file.

    Args:
        path, within: as for :func:`regular`.
        most: bytes that are read at most.

    Raises:
        OSError: as from :func:`regular`.
        ValueError: it is no UTF-8, or has more bytes than ``most``.
    """
    with regular(path, within=within) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise ValueError(f"more than {most // 1024} KiB")
    return content.decode("utf-8")


def whole_lines(file: BufferedReader) -> Iterator[bytes]:
    """The lines of a file with their line breaks; an incomplete last line, which has none, is left out.

    Raises:
        ValueError: a line has more bytes than :data:`LONGEST_LINE`; the rest of it is not read.
    """
    while line := file.readline(LONGEST_LINE + 1):
        if len(line) > LONGEST_LINE:
            raise ValueError(f"a line of more than {LONGEST_LINE // 1024} KiB")
        if line.endswith(b"\n"):
            yield line


def write_text_atomically(path: Path, text: str) -> None:
    """:func:`write_atomically` for UTF-8 text."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then put it in place in one step.

    Raises:
        OutputError: ``path`` is a folder, pipe, device or link; or the folder cannot be written or is full.
    """
    refuse_special(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    with as_output_error(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.unlink(missing_ok=True)
            # O_EXCL: in a folder that others can write to, this name may be a link of theirs.
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
            write(temporary)
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def folder_made_atomically(path: Path) -> Iterator[Path]:
    """Give the body an empty folder to fill, then put it in place in one step; nothing is left of a failure.

    Args:
        path: the folder to make; if it exists, it must be empty.

    Raises:
        OSError: it cannot be written, or is not empty.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as temporary:
        unfinished = Path(temporary) / path.name
        unfinished.mkdir()
        yield unfinished
        unfinished.rename(path)


def open_to_append(path: Path) -> int:
    """Open a plain file to write at its end, and make it if needed; returns the descriptor.

    Raises:
        OutputError: it is a folder, pipe, device or link.
        OSError: it cannot be opened.
    """
    refuse_special(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o644)


def refuse_special(path: Path) -> None:
    """Refuse to write where there is something other than a plain file.

    Replacing a device would take it from the whole machine, and writing to a pipe may never end.

    Raises:
        OutputError: names what is there.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:
        return  # nothing is there, or the writing itself will say what is wrong
    if not stat.S_ISREG(mode):
        kind = next((name for fits, name in _KINDS if fits(mode)), "a device")
        raise OutputError(f"{path}: is {kind}, and only plain files are written; choose another place")


@contextmanager
def as_output_error(path: Path) -> Iterator[None]:
    """Turn the ``OSError`` of a body into an error that names ``path``.

    Raises:
        OutputError: instead of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot write: {error.strerror or error}; {_cure(error)}") from None


def _cure(error: OSError) -> str:
    if error.errno in _FULL:
        return f"free space or choose another --output, {_AGAIN}"
    if error.errno == errno.ENAMETOOLONG:
        return "shorten the names that it is put together from, or the path of --output"
    return f"choose another --output or mend this one, {_AGAIN}"
