"""A bar on a terminal, and lines elsewhere."""

from __future__ import annotations

import io
import sys
import time

import pytest

from adasise_bench.utils import progress_bar
from adasise_bench.utils.progress_bar import Bar


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test sets."""
    now = [100.0]
    monkeypatch.setattr(progress_bar.time, "monotonic", lambda: now[0])
    return now


def test_a_line_says_done_total_rate_and_what_remains(clock: list[float]) -> None:
    bar = Bar(12_000, "record", done=1_000)
    clock[0] += 30
    assert bar.line() == "1,000 of 12,000 records, none in the last 30 s"
    bar.update(150, errors=1, title="resnet50")
    clock[0] += 30
    assert bar.line() == "resnet50: 1,150 of 12,000 records (1 error), 2.5/s, about 72 min to go"


def test_the_rate_is_that_of_the_last_minutes(clock: list[float]) -> None:
    bar = Bar(10_000, "picture")
    for _ in range(10):
        bar.update(300)
        clock[0] += 30
        bar.line()
    for _ in range(10):
        bar.update(30)
        clock[0] += 30
        line = bar.line()
    assert line == "3,300 of 10,000 pictures, 1/s, about 111 min to go"


def test_lines_are_written_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "EVERY", 0.01)
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    with Bar(1, "record") as bar:
        for _ in range(500):
            if log.getvalue().count("\n") >= 2:
                break
            time.sleep(0.01)
        bar.update()
    told = log.getvalue()
    assert told.startswith("0 of 1 record, none in the last ")
    assert "\r" not in told
    time.sleep(0.05)
    assert log.getvalue() == told  # no line follows the end


def test_a_terminal_gets_a_bar_and_no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(progress_bar, "EVERY", 0.01)
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with Bar(2, "record") as bar:
        time.sleep(0.1)
        bar.update(errors=1, title="resnet50")
    assert "to go" not in terminal.getvalue()
    assert "none in the last" not in terminal.getvalue()
    assert "1/2" in terminal.getvalue()


def test_a_closed_log_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "EVERY", 0.01)
    monkeypatch.setattr(sys, "stderr", log := io.StringIO())
    with Bar(1, "record") as bar:
        log.close()
        time.sleep(0.05)
        bar.update()
