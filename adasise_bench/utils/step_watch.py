"""Lets somebody outside watch how many steps of long work are done, without a word from those in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Watcher = Callable[[int, int], object]
"""Is told how many of how many steps are done."""

_watcher: ContextVar[Watcher | None] = ContextVar("watcher", default=None)


@contextmanager
def watched(watcher: Watcher) -> Iterator[None]:
    """Let ``watcher`` be told of every step that is done in the body, in this thread."""
    token = _watcher.set(watcher)
    try:
        yield
    finally:
        _watcher.reset(token)


def tell(done: int, total: int) -> None:
    """Say that ``done`` of ``total`` steps are done, to whoever watches."""
    if (watcher := _watcher.get()) is not None:
        watcher(done, total)
