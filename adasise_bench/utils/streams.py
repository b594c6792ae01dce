"""Standard streams that are closed, or whose reader has gone away, must not disturb the work."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Buffer


def open_closed_streams() -> None:
    """Connect whichever of stdin, stdout and stderr is closed with the null device.

    A closed one leaves its number free for the next file or pipe that is opened; whoever then writes to
    stdout or stderr, or redirects them as worker processes do, writes into that file.
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
    """Let writing to stdout and stderr go on, into nothing, when the reader of a pipe has gone away.

    Streams that somebody has put in the place of Python's own are left alone.
    """
    if sys.stdout is sys.__stdout__ and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout = _outliving(sys.stdout)
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = _outliving(sys.stderr)


def _outliving(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    raw = io.BufferedWriter(_Outliving(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(
        raw, stream.encoding, stream.errors, line_buffering=stream.line_buffering, write_through=False
    )


class _Outliving(io.FileIO):
    """A file that becomes the null device when nothing can be written to it any more.

    What waits in the buffers above it is tried again when the process ends, and must not fail a second time.
    """

    def write(self, data: Buffer, /) -> int:
        """Write, or drop the data for want of a reader.

        Raises:
            OSError: it cannot be written for another reason, such as a full disk; said once.
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
