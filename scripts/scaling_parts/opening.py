"""Measures how long a report takes to open in a browser."""

from __future__ import annotations

import resource
import shutil
import time
from pathlib import Path
from typing import NamedTuple


class Opening(NamedTuple):
    """How a report opened.

    Attributes:
        first_pairs: seconds from the request to the first pairs on the screen.
        search: seconds from the end of a search to its result.
        processor: seconds of processor time of the browser for both, beyond what it takes for an empty page.
        megabytes: size of the file.
    """

    first_pairs: float
    search: float
    processor: float
    megabytes: float


def opening_of(report: Path, word: str) -> Opening:
    """Open a report in Chromium, then search its pairs for a part of a picture's name."""
    before = _processor_time()
    _opened("about:blank", None)
    empty = _processor_time() - before
    before = _processor_time()
    opened, found = _opened(report.resolve().as_uri(), word)
    processor = _processor_time() - before - empty
    return Opening(opened, found, processor, report.stat().st_size / 1e6)


def _opened(address: str, word: str | None) -> tuple[float, float]:
    """Seconds to the first pairs and to the result of a search, both 0 without one."""
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
            page.locator("[name=state]").select_option(label="all pairs")
            page.locator("[name=search]").fill(word)
            page.locator("li.pair").first.wait_for(state="attached")
            found = time.perf_counter()
        browser.close()
    return opened - start, found - opened


def _processor_time() -> float:
    """Seconds that all processes took that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
