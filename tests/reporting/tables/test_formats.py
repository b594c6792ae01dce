import csv
import io
import json
import re
from dataclasses import replace

import pytest
from table_samples import METHODS, NOTE, TABLES, methods_by_metrics, wide

from adasise_bench.reporting.tables import Cell, Row, Table, Tables
from adasise_bench.reporting.tables.formats import FORMATS, render
from adasise_bench.reporting.tables.look import Look


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_ends_its_last_line(fmt: str) -> None:
    text = render(TABLES, fmt)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_terminal_stands_in_100_columns() -> None:
    text = render(TABLES, "terminal")
    assert max(map(len, text.splitlines())) <= 100
    assert "Extremal Perturbation" in text
    lines = text.splitlines()
    first = next(k for k, line in enumerate(lines) if line.startswith("EBPG, % ↑"))
    assert re.fullmatch(
        r"EBPG, % ↑ +61\.20 \[59\.88, 62\.50\] +\*66\.08 \[64\.90, 67\.20\] 150 pairs +-", lines[first]
    )
    assert re.fullmatch(r"  published +63\.24 +66\.08", lines[first + 1])
    assert lines[first].find("61.20") == lines[first + 1].find("63.24")
    assert re.search(r"^Run-time, s ↓ +87\.42 +\*0\.047 +0\.50$", text, re.MULTILINE)
    assert re.search(r"^  published +87\.42 +9\.21$", text, re.MULTILINE)
    assert re.search(r"^Boxes' area share, % \(9 pairs\) +30\.00 +30\.00 +30\.00$", text, re.MULTILINE)
    assert "published: the papers' numbers" in " ".join(text.split())
    assert text.rstrip().endswith(NOTE)


def test_differences_are_signed_and_say_who_is_better() -> None:
    text = render(TABLES, "terminal")
    assert re.search(
        r"^EBPG, % ↑ +\+2\.50 \[\+1\.25, \+3\.75\] better +-1\.00 \[-2\.00, -0\.50\] worse$", text, re.M
    )
    assert re.search(
        r"^Drop, % ↓ +-0\.25 \[-0\.50, -0\.12\] better +\+0\.25 \[-0\.50, \+1\.00\]$", text, re.M
    )


def test_intervals_move_below_the_numbers_where_a_terminal_is_too_narrow() -> None:
    beside, below = render(wide(3), "terminal"), render(wide(5), "terminal")
    assert "50.00 [49.00, 80.00]" in beside
    assert "95 % interval" not in beside.split("Bbox")[0]
    assert below.count("  95 % interval  [49.00, 80.00]  [49.00, 80.00]") == 2
    assert "Wide ↑" in below


def test_names_in_wide_letters_stand_above_their_numbers() -> None:
    """On a terminal an East Asian letter takes two columns."""
    names = ("猫", "犬と猫の絵")
    cells = tuple(Cell(name, "ebpg", 50.0, 9, 9) for name in names)
    table = Table("table1", "m", "Wide", names, (Row("EBPG, %", None, "percent", cells),))
    header, _, numbers = render(Tables((table,), ()), "terminal").splitlines()[2:5]
    starts = [numbers.index("50.00"), numbers.rindex("50.00")]
    assert header == " " * (starts[0] + 3) + "猫" + " " * (starts[1] - starts[0] - 5) + "犬と猫の絵"


@pytest.mark.parametrize("width", [80, 100, 200])
def test_methods_become_lines_where_they_do_not_fit_beside_each_other(width: int) -> None:
    text = render(methods_by_metrics(12), "terminal", width)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"^ +EBPG, % ↑ +Bbox, % ↑ +mIoU, % ↑ +Errors$", text, re.M)
    assert re.findall(r"method_\d+", text) == [f"method_{k}" for k in range(12)]
    assert re.search(r"^method_3 +\*53.00 .*\n(  95 % .*\n)?  published +63.00 +63.00 +63.00$", text, re.M)
    assert re.search(r"^method_4 .*\n(  95 % .*\n)?method_5 ", text, re.M)
    assert "All rows: Pairs: 99." in text
    assert "method_0  method_1" in render(methods_by_metrics(4), "terminal", width).replace("   ", "")


@pytest.mark.parametrize(("fmt", "most"), [("md", 6), ("latex", 5)])
def test_many_methods_become_lines_in_documents(fmt: str, most: int) -> None:
    for methods in (most, most + 1):
        text = render(methods_by_metrics(methods), fmt)
        line = next(line for line in text.splitlines() if r"method\_3" in line)
        assert (line.count("53.00") == 3) == (methods > most)
        assert ("All rows: Pairs: 99." in text) == (methods > most)


@pytest.mark.parametrize("columns", [1, 4, 6, 20])
def test_every_column_is_printed_once_in_100_columns(columns: int) -> None:
    text = render(wide(columns), "terminal")
    assert max(map(len, text.splitlines())) <= 100
    assert re.findall(r"method_\d+", text) == [f"method_{k}" for k in range(columns)]
    assert text.count("[49.00, 80.00]") == 2 * columns


def test_a_table_without_marks_needs_no_legend() -> None:
    bare = Tables((Table("table1", "m", "Bare", ("a",), (Row("Pairs", None, "count", (Cell("a", "pairs", 3, 3, 3),)),)),), ("Note.",))  # fmt: skip  # noqa: E501
    assert re.search(r"\| Pairs \| 3 +\|\n\n- Note\.\n\Z", render(bare, "md"))


def test_markdown_rows_have_as_many_columns_as_their_header() -> None:
    text = render(TABLES, "md")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert [len(block) for block in blocks] == [8, 8, 6, 4]
    for block in blocks:
        columns = [len(re.findall(r"(?<!\\)\|", line)) for line in block]
        assert len(set(columns)) == 1
        assert re.fullmatch(r"[|:-]+", block[1])
    assert "| **66.08** [64.90, 67.20] 150 pairs |" in text
    assert re.search(r"^\| \*published\* +\| 63\.24 +\| 66\.08 +\| +\|$", text, re.M)
    assert r"odd\_label" in text
    assert r"\<b\> \|" in text


def test_csv_has_one_line_per_cell() -> None:
    rows = list(csv.DictReader(io.StringIO(render(TABLES, "csv"))))
    assert len(rows) == 2 * 4 * 3 + 2 * 2 + 2 * 2
    assert all(None not in row and None not in row.values() for row in rows)
    assert rows[1] == {
        "table": "table1",
        "model": "vgg16",
        "method": "sise",
        "metric": "ebpg",
        "measured": "66.083",
        "n": "150",
        "of": "153",
        "published": "66.08",
        "direction": "up",
        "best": "true",
        "low": "64.9",
        "high": "67.2",
        "images": "90",
        "against": "",
        "group": "",
        "chance": "",
        "excludes_zero": "",
        "exceeds_chance": "",
        "deviations": "",
    }
    assert [row["excludes_zero"] for row in rows[-4:]] == ["true", "true", "true", "false"]
    assert rows[2]["measured"] == rows[2]["published"] == ""
    assert rows[2]["best"] == "false"


def test_json_holds_everything() -> None:
    tree = json.loads(render(TABLES, "json"))
    assert tree["notes"] == list(TABLES.notes)
    assert [(table["name"], table["model"]) for table in tree["tables"]] == [
        ("table1", "vgg16"),
        ("table1", "resnet50"),
        ("table2", "resnet50"),
        ("differences", "vgg16"),
    ]
    assert tree["tables"][0]["columns"] == list(METHODS)
    assert tree["tables"][0]["rows"][0]["direction"] == "up"
    assert tree["tables"][0]["rows"][0]["cells"][1] == {
        "method": "sise",
        "metric": "ebpg",
        "measured": 66.083,
        "n": 150,
        "of": 153,
        "published": 66.08,
        "best": True,
        "low": 64.9,
        "high": 67.2,
        "images": 90,
        "against": None,
        "group": None,
        "chance": None,
        "excludes_zero": None,
        "exceeds_chance": None,
    }
    assert tree["tables"][-1]["rows"][0]["cells"][0]["excludes_zero"] is True


@pytest.mark.parametrize("width", [70, 90, 200])
def test_half_widths_stand_in_the_same_place_in_all_tables(width: int) -> None:
    """The first table has no room for them beside its numbers where the terminal is narrow."""
    tables = Tables((wide(5).tables[0], replace(wide(1).tables[0], title="Narrow")), ())
    first, second = render(tables, "terminal", width, Look(intervals="pm", notes="none")).split("Narrow")
    assert [("95 % interval" in text) for text in (first, second)] == [width == 70] * 2
