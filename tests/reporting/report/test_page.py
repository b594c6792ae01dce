"""The written file: whole, self-contained, safe, and true to the records."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import asdict, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from joined_frames import combine
from PIL import Image
from run_folders import METHODS, SIZE, draw_pictures, some_records, write_run

from adasise_bench.cli import main
from adasise_bench.metrics.registry import DEFAULT
from adasise_bench.records.record import Record
from adasise_bench.records.run import load_run
from adasise_bench.reporting.report import sample
from adasise_bench.reporting.report.drawings import drawings_of
from adasise_bench.reporting.report.page import write_report
from adasise_bench.reporting.tables import build_tables, number

HOSTILE = "</script><img src=x onerror=alert(1)><!-- & \"'"


class Page(HTMLParser):
    """Elements with their attributes and own text, in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), []))

    def handle_data(self, data: str) -> None:
        if self.elements:
            self.elements[-1][2].append(data.strip())

    def all(self, tag: str) -> list[tuple[dict[str, str | None], str]]:
        return [(attributes, "".join(text)) for name, attributes, text in self.elements if name == tag]

    def json(self, name: str) -> Any:
        (text,) = [text for attributes, text in self.all("script") if attributes.get("id") == name]
        return json.loads(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    draw_pictures(tmp_path / "voc", 3)
    return tmp_path / "voc"


IDS = ["000001", "000002", "000003"]


def report_of(*folders: Path) -> Page:
    path = folders[0] / "report.html"
    write_report([load_run(folder) for folder in folders], path)
    return Page(path)


def pixels(webp: str) -> np.ndarray:
    image = Image.open(io.BytesIO(base64.b64decode(webp))).convert("RGB")
    return np.asarray(image).astype(int)


def test_values_are_the_records_to_the_last_bit(root: Path, tmp_path: Path) -> None:
    records = some_records(IDS)
    folder = write_run(tmp_path / "run", root, records, with_maps=[])
    index = report_of(folder).json("index")
    places = {
        (index["pictures"][picture], index["classes"][name]): pair
        for pair, (picture, name) in enumerate(zip(index["picture"], index["className"], strict=True))
    }
    titles = ["EBPG, %", "Bbox, %", "Drop, %", "Increase, %", "mIoU, %", "Run-time, s"]
    assert [metric["title"] for metric in index["metrics"]] == titles
    order = list(METHODS)
    for record in records:
        pair = places[record.image_id, record.class_name]
        shown = [column[pair] for column in index["values"][order.index(record.method)]]
        expected = (record.ebpg, record.bbox, record.drop, record.increase, record.miou, record.seconds)
        assert shown == list(expected)
        assert index["score"][pair] == record.score


def test_tables_are_those_of_the_table_command(root: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", root, some_records(IDS), with_maps=[])
    page = report_of(folder)
    cells = [text for _, text in page.all("td")]
    strong = [text for _, text in page.all("strong")]
    minor = [text for attributes, text in page.all("small") if attributes.get("class") == "minor"]
    (table,) = build_tables([load_run(folder)]).tables
    for row in table.rows:
        for cell in row.cells:
            if cell.measured is not None:
                shown = strong if cell.best else cells
                assert number(cell.measured, row.unit) in shown
            if cell.published is not None:
                assert number(cell.published, row.unit) in minor
            if cell.low is not None and cell.high is not None:
                interval = f"[{number(cell.low, row.unit)}, {number(cell.high, row.unit)}]"
                assert interval in minor
    assert table.title in [text for _, text in page.all("h3")]


def test_pictures_boxes_and_maps_belong_to_their_pairs(root: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", root, some_records(IDS))
    page = report_of(folder)
    index = page.json("index")
    for picture, image_id in enumerate(index["pictures"]):
        block = page.json(f"picture-{picture}")
        assert block["size"] == list(SIZE)
        assert block["boxes"] == [["cat", 0, 0, 10, 16], ["dog", 12, 4, 12, 8]]
        own = Image.open(root / "VOCdevkit" / "VOC2007" / "JPEGImages" / f"{image_id}.jpg").convert("RGB")
        assert abs(pixels(block["webp"]) - np.asarray(own)).max() < 12
        for pair, maps in block["maps"].items():
            cat = index["classes"][index["className"][int(pair)]] == "cat"
            for entry in maps:
                columns = pixels(entry["webp"]).mean(axis=(0, 2))
                left, right = columns[:16].mean(), columns[16:].mean()
                assert left > right + 50 if cat else right > left + 50


def test_nothing_outside_the_file_is_named_by_the_page(root: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", root, some_records(IDS))
    write_report([load_run(folder)], tmp_path / "a.html")
    page = Page(tmp_path / "a.html")
    loading = ("src", "href", "action", "data", "poster", "srcset", "formaction", "ping")
    links = [
        value for _, attributes, _ in page.elements for name, value in attributes.items() if name in loading
    ]
    assert links
    assert all(value and value.startswith(("#", "data:")) for value in links)
    assert not re.search(r"@import|url\(", "".join(text for _, text in page.all("style")))
    (policy,) = [entry["content"] for entry, _ in page.all("meta") if "http-equiv" in entry]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    figures = [entry for entry, _ in page.all("img") if str(entry.get("src")).startswith("data:image/svg")]
    shown = {str(figure["alt"]): base64.b64decode(str(figure["src"]).split(",")[1]) for figure in figures}
    drawn = drawings_of([load_run(folder)], ["resnet50"])
    assert shown == {drawing.title: drawing.svg.encode() for drawing in drawn}
    assert "Run-time by phase, ResNet-50" in shown


def test_what_records_say_is_text_never_markup(root: Path, tmp_path: Path) -> None:
    records = [
        *some_records(IDS),
        Record("resnet50", "sise", "000001", HOSTILE, ebpg=1.0, score=0.5, degenerate=False),
        Record("resnet50", "sise", "000002", "bird", error=HOSTILE),
        Record("resnet50", "sise", HOSTILE, None, error="unreadable"),
    ]
    plain = report_of(write_run(tmp_path / "plain", root, some_records(IDS), with_maps=[]))
    page = report_of(write_run(tmp_path / "run", root, records, with_maps=[]))
    assert len(page.all("img")) == len(plain.all("img"))
    assert not any("onerror" in attributes for _, attributes, _ in page.elements)
    scripts = len(plain.all("script")) + 1  # the hostile picture's block
    assert len(page.all("script")) == scripts
    index = page.json("index")
    assert HOSTILE in index["classes"]
    assert HOSTILE in index["pictures"]
    assert HOSTILE in [text for errors in index["errors"] for text in errors.values()]


def test_stand_in_and_part_of_the_data_come_first(root: Path, tmp_path: Path) -> None:
    page = report_of(write_run(tmp_path / "run", root, some_records(IDS), with_maps=[]))
    names = [tag for tag, _, _ in page.elements]
    caveats = names.index("aside")
    assert caveats < names.index("table")
    texts = " ".join("".join(text) for _, _, text in page.elements[caveats : names.index("nav")])
    assert "ResNet-50 is not the published model but standin.pth.tar" in texts
    assert "3 of 4952 images (6 of 7632 pairs)" in texts


def test_provenance_names_weights_data_and_definitions(root: Path, tmp_path: Path) -> None:
    page = report_of(write_run(tmp_path / "run", root, some_records(IDS), with_maps=[]))
    facts = dict(zip((t for _, t in page.all("dt")), (t for _, t in page.all("dd")), strict=True))
    assert facts["ResNet-50"] == f"not the published weights: standin.pth.tar, SHA-256 {'ab' * 32}"
    assert facts["Data"] == "VOC 2007 test, 3 images, 6 pairs"
    assert facts["Definitions"] == "ebpg-box-union-v1"
    config, environment = [text for _, text in page.all("pre")]
    assert "input_size: 32" in config
    assert json.loads(environment)["device_name"] == "Some CPU"


def test_missing_pictures_and_maps_are_said_not_fatal(root: Path, tmp_path: Path) -> None:
    records = some_records(IDS)
    folder = write_run(tmp_path / "run", root, records, with_maps=records[:1])
    (root / "VOCdevkit" / "VOC2007" / "JPEGImages" / "000002.jpg").unlink()
    damaged = folder / "maps" / "resnet50" / records[0].method / "000001_cat.npy"
    page = report_of(folder)
    whole, missing = page.json("picture-0"), page.json("picture-1")
    assert whole["webp"]
    assert whole["problem"] is None
    assert [bool(entry) for maps in whole["maps"].values() for entry in maps].count(True) == 1
    assert missing["webp"] is None
    assert "000002.jpg: not the picture that" in missing["problem"]
    assert missing["boxes"]
    damaged.write_bytes(b"no map")
    maps = report_of(folder).json("picture-0")["maps"].values()
    (entry,) = [entry for of_pair in maps for entry in of_pair if entry]
    assert "000001_cat.npy: damaged map" in entry["problem"]
    (root / "VOCdevkit").rename(tmp_path / "elsewhere")
    gone = report_of(folder).json("picture-0")
    assert "no VOC 2007 test set here" in gone["problem"]


def test_several_runs_join_and_maps_come_from_the_one_that_has_them(root: Path, tmp_path: Path) -> None:
    records = some_records(IDS)
    timed = [replace(record, ebpg=None, seconds=7.0) for record in records]
    folders = [
        write_run(tmp_path / "timed", root, timed, with_maps=[]),
        write_run(tmp_path / "measured", root, records),
    ]
    page = report_of(*folders)
    index, combined = page.json("index"), combine([load_run(folder) for folder in folders])
    shown = {value for columns in index["values"] for value in columns[0]}
    assert shown == set(combined["ebpg"])
    assert {value for columns in index["values"] for value in columns[5]} == {7.0}
    assert all(entry for maps in page.json("picture-0")["maps"].values() for entry in maps)


def test_the_command_writes_into_the_first_folder_and_prints_where(root: Path, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", root, some_records(IDS), with_maps=[])
    result = CliRunner().invoke(main, ["report", str(folder)])
    assert (result.exit_code, result.output.strip()) == (0, str(folder / "report.html"))
    whole = (folder / "report.html").read_bytes()
    elsewhere = tmp_path / "deep" / "r.html"
    assert CliRunner().invoke(main, ["report", str(folder), "--output", str(elsewhere)]).exit_code == 0
    assert elsewhere.read_bytes() == whole
    assert [path.name for path in elsewhere.parent.iterdir()] == ["r.html"]


def test_the_command_names_a_folder_without_a_run(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["report", str(tmp_path)])
    assert result.exit_code == 3
    assert "not a run folder" in result.output
    assert not (tmp_path / "report.html").exists()


def test_methods_stand_in_the_configurations_order(root: Path, tmp_path: Path) -> None:
    page = report_of(write_run(tmp_path / "run", root, some_records(IDS), with_maps=[]))
    assert METHODS == ("sise", "ada_sise", "extremal_perturbation")
    assert page.json("index")["methods"] == ["SISE", "Ada-SISE", "Extremal Perturbation"]


def test_of_many_pictures_the_page_holds_the_worst_and_some_at_random(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "MOST_PICTURES", 6)
    ids = draw_pictures(tmp_path / "many", 30)
    records = some_records(ids)
    failed = replace(records[40], error="out of memory", **dict.fromkeys(DEFAULT), score=None)
    records[40] = failed
    page = report_of(write_run(tmp_path / "run", tmp_path / "many", records))
    index = page.json("index")
    frame = pd.DataFrame([asdict(record) for record in records])
    worst = frame.groupby("image_id")["ebpg"].mean().drop(failed.image_id).sort_values().index[:2]
    held = [index["pictures"][number] for number in index["held"]]
    assert len(set(held)) == len(held) == 6
    assert {failed.image_id, *worst} <= set(held)
    blocks = [found["id"] for found, _ in page.all("script") if "picture-" in str(found.get("id"))]
    assert blocks == [f"picture-{number}" for number in index["held"]]
    assert len(index["picture"]) == 60  # all pairs can be searched
    assert page.json(f"picture-{index['held'][0]}")["webp"]


def test_of_very_many_pairs_the_page_lists_the_worst_and_some_at_random(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays as small as a page of fewer pairs."""
    monkeypatch.setattr(sample, "MOST_PICTURES", 6)
    monkeypatch.setattr(sample, "MOST_NUMBERS", 20 * 2 * len(METHODS) * len(DEFAULT))
    sizes = []
    for count in (20, 100):
        ids = draw_pictures(tmp_path / f"set{count}", count)
        records = some_records(ids)
        page = report_of(write_run(tmp_path / f"run{count}", tmp_path / f"set{count}", records))
        index = page.json("index")
        listed = {index["pictures"][number] for number in index["picture"]}
        assert len(listed) == 20
        assert len(index["picture"]) == len(index["values"][0][0]) == 40
        assert {index["pictures"][number] for number in index["held"]} <= listed
        frame = pd.DataFrame([asdict(record) for record in records])
        worst = frame.groupby("image_id")["ebpg"].mean().sort_values().index[:3]
        assert set(worst) <= {index["pictures"][number] for number in index["held"]}
        of_pair = frame.set_index(["method", "image_id", "class_name"])["ebpg"]
        for pair, (picture, name) in enumerate(zip(index["picture"], index["className"], strict=True)):
            key = ("sise", index["pictures"][picture], index["classes"][name])
            assert index["values"][index["methods"].index("SISE")][0][pair] == of_pair[key]
        hints = " ".join(text for attributes, text in page.all("p") if attributes.get("class") == "hint")
        assert ("It lists the numbers of 40 of 200 pairs" in hints) == (count == 100)
        sizes.append((tmp_path / f"run{count}" / "report.html").stat().st_size)
    assert sizes[1] < 1.05 * sizes[0]


def test_of_pictures_with_many_maps_the_page_holds_fewer(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "MOST_MAPS", 4 * 2 * len(METHODS))
    ids = draw_pictures(tmp_path / "many", 9)
    index = report_of(write_run(tmp_path / "run", tmp_path / "many", some_records(ids))).json("index")
    assert (len(index["held"]), len(index["picture"])) == (4, 18)
