"""The report in a real browser, opened from the disk."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from joined_frames import combine
from run_folders import draw_pictures, some_records, write_run

from adasise_bench.data.voc import VOC_CLASSES
from adasise_bench.records.record import Record
from adasise_bench.records.run import load_run
from adasise_bench.reporting.captions import score_text
from adasise_bench.reporting.report.page import write_report

playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs the program chromium (apt-get install chromium)", allow_module_level=True)

DESKTOP = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
ORDER = ("sise", "ada_sise", "extremal_perturbation")


@dataclass
class Report:
    """A report and the records that it shows."""

    path: Path
    records: pd.DataFrame


@dataclass
class Opened:
    """A report in a window, with all that went wrong and all that it asked for."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def pairs(self) -> list[tuple[str, str]]:
        """Picture and class of the shown cards, in order."""
        texts = self.page.locator("li.pair .open").all_inner_texts()
        return [(text[:6], text[6:].strip()) for text in texts]

    def choose(self, **values: str) -> None:
        for name, label in values.items():
            self.page.locator(f"[name={name}]").select_option(label=label)

    def count(self) -> str:
        return str(self.page.locator("#count").inner_text())

    def focused(self) -> str:
        return str(self.page.evaluate("document.activeElement.getAttribute('aria-label')"))

    def layout_width(self) -> int:
        return int(self.page.evaluate("document.documentElement.scrollWidth"))


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        yield started


@pytest.fixture(scope="module")
def chromium(driver: Any) -> Iterator[Any]:
    browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def open_report(chromium: Any) -> Iterator[Any]:
    contexts = []

    def open_(report: Report, **settings: Any) -> Opened:
        context = chromium.new_context(**{"viewport": DESKTOP, "offline": True} | settings)
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.set_default_timeout(5000)
        opened.page.on("console", lambda message: opened.complaints.append(message.text))
        opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.goto(report.path.as_uri())
        return opened

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Six pictures, twelve pairs; one error, one degenerate map, one pair without a value."""
    base = tmp_path_factory.mktemp("small")
    records = some_records(draw_pictures(base / "voc", 6))
    records[3] = Record("resnet50", "sise", records[3].image_id, records[3].class_name, error="<b>broke</b>")
    records[5] = replace(records[5], degenerate=True)
    run = load_run(write_run(base / "run", base / "voc", records))
    write_report([run], base / "report.html")
    return Report(base / "report.html", combine([run]))


@pytest.fixture(scope="module")
def wordy(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Eighty pairs by a method with a long name."""
    base = tmp_path_factory.mktemp("wordy")
    named = [
        replace(record, method="a_label_of_a_method_that_has_no_space_anywhere" * 2)
        if record.method == "sise"
        else record
        for record in some_records(draw_pictures(base / "voc", 40))
    ]
    run = load_run(write_run(base / "run", base / "voc", named, with_maps=[]))
    write_report([run], base / "report.html")
    return Report(base / "report.html", combine([run]))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Report:
    """250 pictures with all 20 classes: 5000 pairs, 15000 records."""
    base = tmp_path_factory.mktemp("large")
    boxes = [(name, 1, 1, 10, 10) for name in VOC_CLASSES]
    records = some_records(draw_pictures(base / "voc", 250, boxes), VOC_CLASSES)
    seen = [record for record in records if record.image_id in ("000001", "000250")]
    run = load_run(write_run(base / "run", base / "voc", records, with_maps=seen))
    write_report([run], base / "report.html")
    return Report(base / "report.html", combine([run]))


def keys(records: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(records["image_id"], records["class_name"], strict=True))


def wide(records: pd.DataFrame, metric: str) -> pd.DataFrame:
    """One row per pair in the run's order, one column per method."""
    table = records.pivot_table(index=["image_id", "class_name"], columns="method", values=metric, sort=False)
    return table.reindex(pd.MultiIndex.from_tuples(dict.fromkeys(keys(records)))).rename_axis(
        ["image_id", "class_name"]
    )


def until(page: Any, expression: str) -> None:
    """Wait until JavaScript says so, without the polling inside the page that its security policy forbids."""
    for _ in range(300):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {expression}")


def test_opens_from_the_disk_without_complaint_or_request(open_report: Any, small: Report) -> None:
    opened = open_report(small)
    opened.page.locator("#pairs").scroll_into_view_if_needed()
    opened.page.locator("li.pair .open").first.click()
    opened.page.locator("#pair canvas").first.wait_for()
    assert opened.complaints == []
    assert [url for url in opened.requests if not url.startswith("data:")] == [small.path.as_uri()]


def test_every_sort_is_the_one_pandas_makes(open_report: Any, small: Report) -> None:
    opened = open_report(small, viewport={"width": 1440, "height": 6000})
    assert opened.pairs() == list(dict.fromkeys(keys(small.records)))
    titles = {"ebpg": "EBPG", "seconds": "Run-time"}
    methods = {"sise": "SISE", "ada_sise": "Ada-SISE", "extremal_perturbation": "Extremal Perturbation"}
    for number, (metric, method) in enumerate(product(titles, methods)):
        order = "lowest first" if number % 2 else "highest first"
        opened.choose(metric=titles[metric], method=methods[method], order=order)
        table = wide(small.records, metric)
        expected = table.sort_values(method, ascending=bool(number % 2), na_position="last", kind="stable")
        assert opened.pairs() == list(expected.index)
    opened.choose(metric="EBPG", method="Ada-SISE", minus="SISE", order="lowest first")
    table = wide(small.records, "ebpg")
    difference = (table["ada_sise"] - table["sise"]).sort_values(na_position="last", kind="stable")
    assert opened.pairs() == list(difference.index)
    shown = opened.page.locator("li.pair .tile:first-child .key dd").all_inner_texts()
    assert shown == [*(f"{value:+.2f}" for value in difference.dropna()), "\N{EN DASH}"]
    opened.choose(metric="Score Ψ", order="highest first")
    scores = small.records.groupby(["image_id", "class_name"], sort=False)["score"].first()
    assert opened.pairs() == list(scores.sort_values(ascending=False, kind="stable").index)
    first = opened.page.locator("li.pair").first
    assert f"Score Ψ{score_text(scores.max())}" in "".join(first.inner_text().split("\n"))


def test_filters_leave_what_they_say(open_report: Any, small: Report) -> None:
    opened = open_report(small, viewport={"width": 1440, "height": 6000})
    records = small.records
    everything = list(dict.fromkeys(keys(records)))
    opened.choose(**{"class": "dog (6)"})
    assert opened.pairs() == [pair for pair in everything if pair[1] == "dog"]
    assert opened.count() == "6 of 12 pairs"
    opened.page.locator("[name=search]").fill("04")
    assert opened.pairs() == [("000004", "dog")]
    opened.page.locator("[name=search]").fill("nowhere")
    assert opened.pairs() == []
    assert opened.count() == "0 of 12 pairs"
    opened.page.get_by_role("button", name="Reset").click()
    opened.page.locator("#count", has_text="12 of 12 pairs").wait_for()
    assert opened.pairs() == everything
    opened.choose(state="errors")
    assert opened.pairs() == keys(records[records["error"].notna()])
    assert opened.page.locator("li.pair .error").inner_text() == "<b>broke</b>"
    opened.choose(state="degenerate")
    degenerate = records[records["degenerate"].eq(True)]
    assert opened.pairs() == keys(degenerate)
    opened.choose(state="neither")
    assert set(opened.pairs()) == set(everything) - set(keys(degenerate)) - set(
        keys(records[records["error"].notna()])
    )


def test_cards_print_the_records(open_report: Any, small: Report) -> None:
    opened = open_report(small)
    by_key = small.records.set_index(["image_id", "class_name", "method"]).sort_index()
    of_pair = by_key.loc[opened.pairs()[0]]
    tiles = opened.page.locator("li.pair").first.locator(".tile")
    for tile, method in zip(tiles.all()[1:], ORDER, strict=True):
        record = of_pair.loc[method]
        seconds = f"{record['seconds']:#.2g}" if record["seconds"] < 1 else f"{record['seconds']:.2f}"
        percents = [f"{record[name]:.2f}" for name in ("ebpg", "bbox", "drop", "increase", "miou")]
        assert tile.locator("dd").all_inner_texts() == [*percents, seconds]


def test_maps_are_coloured_where_they_are_high(open_report: Any, small: Report) -> None:
    opened = open_report(small)
    opened.choose(**{"class": "cat (6)"})
    opened.page.locator("li.pair canvas").first.scroll_into_view_if_needed()
    until(opened.page, "document.querySelector('li.pair canvas').width === 32")
    left, right = opened.page.evaluate(
        """() => {
            const canvas = document.querySelector("li.pair canvas");
            const at = (x) => [...canvas.getContext("2d").getImageData(x, 16, 1, 1).data];
            return [at(14), at(28)];
        }"""
    )
    assert left[3] > 150
    assert left[0] > left[2]
    assert right[3] < 20


def test_everything_works_from_the_keyboard(open_report: Any, small: Report) -> None:
    opened = open_report(small)
    page = opened.page
    page.get_by_role("button", name="Reset").focus()
    page.keyboard.press("Tab")
    everything = opened.pairs()

    def labelled(position: int) -> str:
        return f"Open {everything[position][0]}, {everything[position][1]}, ResNet-50"

    assert opened.focused() == labelled(0)
    outline = page.evaluate("getComputedStyle(document.activeElement.closest('li')).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("ArrowRight")
    assert opened.focused() == labelled(1)
    page.keyboard.press("ArrowDown")
    assert opened.focused() == labelled(3)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert opened.focused() == labelled(0)
    page.keyboard.press("Enter")
    assert page.locator("#pair").evaluate("dialog => dialog.open")
    assert page.locator("#position").inner_text() == "1 / 12"
    for key, position in (
        ("ArrowLeft", 1),
        ("ArrowRight", 2),
        ("ArrowRight", 3),
        ("End", 12),
        ("ArrowRight", 12),
    ):
        page.keyboard.press(key)
        assert page.locator("#position").inner_text() == f"{position} / 12"
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#pair-title").inner_text() == "".join(everything[1])
    assert page.locator("#pair-tiles .tile").count() == 4
    page.keyboard.press("Escape")
    assert not page.locator("#pair").evaluate("dialog => dialog.open")
    assert opened.focused() == labelled(1)


def test_buttons_turn_the_pages_and_switches_do_what_they_say(open_report: Any, small: Report) -> None:
    opened = open_report(small)
    page = opened.page
    page.locator("li.pair .open").nth(1).click()
    page.get_by_role("button", name="Previous pair").click()
    assert page.locator("#position").inner_text() == "1 / 12"
    page.get_by_role("button", name="Next pair").click()
    assert page.locator("#position").inner_text() == "2 / 12"
    assert page.locator("#pair rect").first.is_visible()
    page.get_by_role("checkbox", name="Boxes").uncheck()
    assert not page.locator("#pair rect").first.is_visible()
    page.get_by_role("checkbox", name="Map alone").check()
    until(
        page,
        """() => {
            const canvas = document.querySelector("#pair canvas");
            return canvas.width === 32 && canvas.getContext("2d").getImageData(2, 2, 1, 1).data[3] === 255;
        }""",
    )
    page.get_by_role("button", name="Close").click()
    assert not page.locator("#pair").evaluate("dialog => dialog.open")


def test_fits_a_phone_and_answers_to_fingers(open_report: Any, small: Report) -> None:
    opened = open_report(small, viewport=PHONE, has_touch=True, is_mobile=True)
    assert opened.layout_width() == PHONE["width"]
    opened.page.locator("li.pair").first.scroll_into_view_if_needed()
    assert opened.layout_width() == PHONE["width"]
    opened.page.locator("li.pair .open").first.tap()
    assert opened.page.locator("#pair").evaluate("dialog => [dialog.open, dialog.scrollWidth]") == [True, 390]
    opened.page.get_by_role("button", name="Next pair").tap()
    assert opened.page.locator("#position").inner_text() == "2 / 12"


@pytest.fixture(scope="module")
def chromium_with_bars(driver: Any) -> Iterator[Any]:
    options: dict[str, Any] = {"args": ["--no-sandbox"], "ignore_default_args": ["--hide-scrollbars"]}
    browser = driver.chromium.launch(executable_path=CHROMIUM, **options)
    yield browser
    browser.close()


@pytest.mark.parametrize("height", [900, 4000])
@pytest.mark.parametrize("width", [390, 768, 1024, 1400, 1920])
def test_nothing_sticks_out_beside_a_scroll_bar(
    chromium_with_bars: Any, wordy: Report, width: int, height: int
) -> None:
    """In the high window, the bar appears only when the list of pairs makes the page longer than it."""
    page = chromium_with_bars.new_page(viewport={"width": width, "height": height})
    page.goto(wordy.path.as_uri())
    page.locator("li.pair").first.wait_for()
    inside = page.evaluate("document.documentElement.clientWidth")
    assert inside < width
    rightmost = """() => {
        const free = [...document.querySelectorAll("body *")].filter((one) => !one.closest(".scroll, pre"));
        return Math.max(...free.map((one) => one.getBoundingClientRect().right));
    }"""
    until(page, f"({rightmost})() <= {inside}")
    ends = """() => [...document.querySelectorAll("li.pair"), document.getElementById("list")]
        .map((one) => one.getBoundingClientRect().right)"""
    *cards, end = page.evaluate(ends)
    assert max(cards) <= end + 0.5
    assert page.evaluate("document.scrollingElement.scrollWidth") == inside
    page.close()


def test_5000_pairs_keep_the_document_small(open_report: Any, large: Report) -> None:
    opened = open_report(large)
    page = opened.page
    assert opened.count() == "5000 of 5000 pairs"
    nodes = "document.querySelectorAll('main *').length"
    for share in (0.3, 0.7, 1):
        page.evaluate(f"scrollTo(0, {share} * document.documentElement.scrollHeight)")
        until(page, "document.querySelectorAll('li.pair').length > 2")
        assert page.evaluate(nodes) < 5000
    page.locator("li[aria-posinset='5000']").wait_for()
    last = list(dict.fromkeys(keys(large.records)))[-1]
    assert opened.pairs()[-1] == last
    page.locator("li[aria-posinset='5000'] canvas").first.wait_for()
    assert page.locator("li[aria-posinset='5000']").bounding_box()["y"] < DESKTOP["height"]
    table = wide(large.records, "miou")
    opened.choose(metric="mIoU", method="SISE", minus="Ada-SISE")
    difference = (table["sise"] - table["ada_sise"]).sort_values(ascending=False, kind="stable")
    shown = opened.pairs()
    assert shown == list(difference.index[: len(shown)])
    page.locator("li.pair .open").first.focus()
    page.keyboard.press("End")
    page.locator("li[aria-posinset='5000']").wait_for()
    assert opened.pairs()[-1] == difference.index[-1]
    assert page.evaluate(nodes) < 5000
    assert opened.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(open_report: Any, small: Report, scheme: str) -> None:
    opened = open_report(small, color_scheme=scheme)
    ratios = opened.page.evaluate(
        """() => {
            const style = getComputedStyle(document.documentElement);
            const luminance = (name) => {
                const hex = style.getPropertyValue(name).trim().slice(1);
                const [r, g, b] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16) / 255)
                    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
                return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
            };
            const pairs = [["--ink", "--ground"], ["--ink", "--surface"], ["--ink", "--key"],
                ["--ink", "--warn-ground"], ["--soft", "--ground"], ["--soft", "--surface"],
                ["--soft", "--stage"], ["--soft", "--key"], ["--error", "--surface"], ["--error", "--stage"],
                ["--accent", "--ground"]];
            return pairs.map(([a, b]) => Math.max(luminance(a) / luminance(b), luminance(b) / luminance(a)));
        }"""
    )
    assert min(ratios) >= 4.5
