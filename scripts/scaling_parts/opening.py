"""Measures how long a report takes to open in a browser."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import NamedTuple


class Opening(NamedTuple):
    """Seconds from the request to the first pairs on the screen, and from a search to its result; MB."""

    first_pairs: float
    search: float
    megabytes: float


def opening_of(report: Path, word: str) -> Opening:
    """Open a report in Chromium, then search its pairs for a part of a picture's name."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        start = time.perf_counter()
        page.goto(report.resolve().as_uri(), wait_until="load")
        page.locator("li.pair").first.wait_for(state="attached")
        opened = time.perf_counter()
        page.locator("[name=state]").select_option(label="all pairs")
        page.locator("[name=search]").fill(word)
        page.locator("li.pair").first.wait_for(state="attached")
        found = time.perf_counter()
        browser.close()
    return Opening(opened - start, found - opened, report.stat().st_size / 1e6)
