"""Keeps the work going if a standard stream is closed, or its reader is gone."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


def open_closed_streams() -> None:
    """Connect stdin, stdout and stderr with the null device if they are closed.

    A closed stream leaves its number free for the next file or pipe that is opened. What is then written to
    stdout or stderr, or redirected as in worker processes, would go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # takes the lowest free number, this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def outlive_readers() -> None:
    """Drop what is written to stdout and stderr once the reader of a pipe is gone.

    Streams with which somebody has replaced Python's own are not changed.
    """
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _outliving(sys.stdout)
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _outliving(sys.stderr)


@contextmanager
def prints_aside() -> Iterator[None]:
    """Send to stderr what is written to stdout in the body, by Python or by compiled code.

    A user's own methods and networks may print, and stdout belongs to the results. Processes that are started
    in the body inherit this.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 1)
        os.close(kept)


def _outliving(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    raw = io.BufferedWriter(_Outliving(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(
        raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering, write_through=False
    )


class _Outliving(io.FileIO):
    """A file that becomes the null device once nothing can be written to it.

    What is still in the buffers above it is written when the process ends, and must not fail a second time.
    """

    def write(self, data: Buffer, /) -> int:
        """Write the data, or drop it if there is no reader.

        Raises:
            OSError: it cannot be written for another reason, such as a full disk; this is raised once.
        """
        try:
            return super().write(data)
        except OSError as error:
            self._become_null()
            if not isinstance(error, BrokenPipeError):
                raise
            return super().write(data)

    def _become_null(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, self.fileno())
        os.close(null)
