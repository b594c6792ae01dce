"""Who is told of steps, and when nobody is."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from adasise_bench.utils.step_watch import tell, watched


def into(told: list[tuple[int, int]]) -> Callable[[int, int], None]:
    return lambda done, total: told.append((done, total))


def test_only_those_who_watch_are_told() -> None:
    told: list[tuple[int, int]] = []
    tell(1, 3)
    with watched(into(told)):
        tell(2, 3)
    tell(3, 3)
    assert told == [(2, 3)]


def test_the_outer_watcher_is_back_after_an_inner_one_even_if_that_failed() -> None:
    outer: list[tuple[int, int]] = []
    inner: list[tuple[int, int]] = []

    def fail() -> None:
        with watched(into(inner)):
            tell(1, 2)
            raise RuntimeError

    with watched(into(outer)):
        with pytest.raises(RuntimeError):
            fail()
        tell(2, 2)
    assert (inner, outer) == ([(1, 2)], [(2, 2)])
