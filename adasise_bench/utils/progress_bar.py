"""Shows how far something is: in a bar on a terminal, and elsewhere in a line every half minute.

The bar is tqdm's rather than rich's: with ``tqdm.write`` any module can put a line above a bar that it does
not know.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from contextlib import suppress

from tqdm import tqdm

from adasise_bench.utils.messages import printable
from adasise_bench.utils.quantities import counted, duration, three_digits

EVERY = 30.0
"""Seconds from line to line, where there is no terminal."""

_REMEMBERED = 11
"""The rate is that of the last ten lines, so that it follows a change of network or method."""


class Bar:
    """How far something is; a context manager.

    Args:
        total: how many things there are.
        thing: what is counted, in the singular.
        title: what is being done.
        done: how many had been done before.
    """

    def __init__(self, total: int, thing: str, *, title: str = "", done: int = 0) -> None:
        self._total, self._thing, self._title, self._done, self._errors = total, thing, title, done, 0
        self._stream = sys.stderr
        self._bar = tqdm(
            total=total, initial=done, desc=title or None, unit=thing, disable=None, file=self._stream
        )
        self._samples = deque([(time.monotonic(), done)], _REMEMBERED)
        self._ended = threading.Event()
        self._teller = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Bar:
        """Begin to tell."""
        if self._bar.disable:
            self._teller.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        """Tell no more."""
        self._ended.set()
        if self._bar.disable:
            self._teller.join()
        self._bar.close()

    def update(self, count: int = 1, *, errors: int = 0, title: str = "") -> None:
        """Count what has been done since the last call, and how much of it failed.

        Args:
            count: how many.
            errors: how many of them failed.
            title: what is being done now, if that has changed.
        """
        self._done, self._errors = self._done + count, self._errors + errors
        self._title = title or self._title
        if self._errors:
            self._bar.set_postfix(errors=self._errors, refresh=False)
        self._bar.set_description(self._title or None, refresh=False)
        self._bar.update(count)

    def line(self) -> str:
        """How far it is now, in one line; each call is a step of the time over which the rate is taken."""
        self._samples.append((time.monotonic(), self._done))
        (start, before), (now, done) = self._samples[0], self._samples[-1]
        errors = f" ({counted(self._errors, 'error')})" if self._errors else ""
        title = f"{self._title}: " if self._title else ""
        told = f"{title}{done:,} of {counted(self._total, self._thing)}{errors}"
        if done == before:
            return printable(f"{told}, none in the last {duration(now - start)}")
        rate = (done - before) / max(now - start, 1e-9)
        return printable(
            f"{told}, {three_digits(rate)}/s, about {duration((self._total - done) / rate)} to go"
        )

    def _tell(self) -> None:
        while not self._ended.wait(EVERY):
            with suppress(OSError, ValueError):  # nobody reads it, or the stream is closed
                print(self.line(), file=self._stream, flush=True)
