"""Measures how long a report takes to open in a browser."""

from __future__ import annotations

import os
import shutil
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple


class Opening(NamedTuple):
    """How a report opened.

    Attributes:
        first_pairs: seconds from the request to the first pairs on the screen.
        search: seconds from the end of a search to its result.
        processor: seconds of processor time of all processes of the browser until the first pairs, beyond
            what an empty page takes.
        megabytes: size of the file.
    """

    first_pairs: float
    search: float
    processor: float
    megabytes: float


def opening_of(report: Path, word: str) -> Opening:
    """Open a report in Chromium, then search its pairs for a part of a picture's name."""
    _, _, empty = _opened("about:blank", None)
    opened, found, processor = _opened(report.resolve().as_uri(), word)
    return Opening(opened, found, processor - empty, report.stat().st_size / 1e6)


def _opened(address: str, word: str | None) -> tuple[float, float, float]:
    """Seconds to the first pairs, from there to the result of a search, and of processor time."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(300_000)
        start = time.perf_counter()
        page.goto(address, wait_until="load")
        opened = found = start
        if word is not None:
            page.locator("li.pair").first.wait_for(state="attached")
            opened = time.perf_counter()
        processor = _processor_time(os.getpid())
        if word is not None:
            page.locator("[name=state]").select_option(label="all pairs")
            page.locator("[name=search]").fill(word)
            page.locator("li.pair").first.wait_for(state="attached")
            found = time.perf_counter()
        browser.close()
    return opened - start, found - opened, processor


def _processor_time(parent: int) -> float:
    """Seconds that all living processes took which a process has started, or they in turn."""
    ticks, children = {}, defaultdict(list)
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            pid = int(path.parent.name)
            children[int(fields[1])].append(pid)
            ticks[pid] = int(fields[11]) + int(fields[12])
    left, total = list(children[parent]), 0
    while left:
        pid = left.pop()
        total += ticks[pid]
        left += children[pid]
    return total / os.sysconf("SC_CLK_TCK")
