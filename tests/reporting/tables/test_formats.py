import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from adasise_bench.metrics.registry import Direction
from adasise_bench.reporting.tables import Cell, Row, Table, Tables
from adasise_bench.reporting.tables.formats import FORMATS, render

METHODS = ("extremal_perturbation", "sise", "odd_label")
NOTE = r"a_file & 50 % of #1: {x} \ ~ ^ $ <b> | é"


def _table1(model: str) -> Table:
    ebpg = (
        Cell(METHODS[0], "ebpg", 61.2, 153, 153, published=63.24, low=59.876, high=62.5, images=91),
        Cell(
            METHODS[1], "ebpg", 66.083, 150, 153, published=66.08, best=True, low=64.9, high=67.2, images=90
        ),
        Cell(METHODS[2], "ebpg", None, 0, 153),
    )
    seconds = (
        Cell(METHODS[0], "seconds", 87.4249, 153, 153, published=87.42),
        Cell(METHODS[1], "seconds", 0.04712, 153, 153, published=9.21, best=True),
        Cell(METHODS[2], "seconds", 0.5, 153, 153),
    )
    pairs = tuple(Cell(method, "pairs", 153, 153, 153) for method in METHODS)
    rows = (
        Row("EBPG, %", "up", "percent", ebpg),
        Row("Run-time, s", "down", "seconds", seconds),
        Row(
            "Boxes' area share, %",
            None,
            "percent",
            tuple(Cell(m, "box_share", 30.0, 9, 153) for m in METHODS),
        ),
        Row("Pairs", None, "count", pairs),
    )
    return Table("table1", model, f"Table 1, {model}", METHODS, rows)


def _table2() -> Table:
    available = tuple(Cell(None, f"maps_available_p{i}", 64 * i, None, None, 64 * i) for i in (1, 2))
    kept = tuple(Cell("sise", f"maps_kept_p{i}", 30.55 * i, 150, 150, 31) for i in (1, 2))
    rows = (Row("Available", None, "maps", available), Row("SISE, kept (150 pairs)", None, "maps", kept))
    return Table("table2", "resnet50", "Table 2, resnet50", ("p1", "p2"), rows)


def _differences() -> Table:
    def row(title: str, direction: Direction, *numbers: tuple[float, float, float]) -> Row:
        cells = (
            Cell(method, "x", mean, 153, 153, low=low, high=high, against="extremal_perturbation")
            for method, (mean, low, high) in zip(METHODS[1:], numbers, strict=True)
        )
        return Row(title, direction, "percent", tuple(cells))

    rows = (
        row("EBPG, %", "up", (2.5, 1.25, 3.75), (-1.0, -2.0, -0.5)),
        row("Drop, %", "down", (-0.25, -0.5, -0.125), (0.25, -0.5, 1.0)),
    )
    return Table("differences", "vgg16", "vgg16: differences", METHODS[1:], rows)


TABLES = Tables((_table1("vgg16"), _table1("resnet50"), _table2(), _differences()), ("First note.", NOTE))


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
    assert "lines named published quote the paper" in " ".join(text.split())
    assert text.rstrip().endswith(NOTE)


def test_differences_are_signed_and_say_who_is_better() -> None:
    text = render(TABLES, "terminal")
    assert re.search(
        r"^EBPG, % ↑ +\+2\.50 \[\+1\.25, \+3\.75\] better +-1\.00 \[-2\.00, -0\.50\] worse$", text, re.M
    )
    assert re.search(
        r"^Drop, % ↓ +-0\.25 \[-0\.50, -0\.12\] better +\+0\.25 \[-0\.50, \+1\.00\]$", text, re.M
    )


def _wide(columns: int) -> Tables:
    cells = tuple(
        Cell(f"method_{k}", "ebpg", 50.0 + k, 99, 99, low=49.0, high=80.0, images=50) for k in range(columns)
    )
    table = Table("table1", "vgg16", "Wide", tuple(f"method_{k}" for k in range(columns)), (
        Row("EBPG, %", "up", "percent", cells), Row("Bbox, %", "up", "percent", cells)))  # fmt: skip
    return Tables((table,), ())


def test_intervals_move_below_the_numbers_where_a_terminal_is_too_narrow() -> None:
    beside, below = render(_wide(3), "terminal"), render(_wide(5), "terminal")
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


def _methods_by_metrics(methods: int) -> Tables:
    names = tuple(f"method_{k}" for k in range(methods))
    shared = Row("Pairs", None, "count", tuple(Cell(name, "pairs", 99, 99, 99) for name in names))
    rows = [
        Row(title, "up", "percent", tuple(
            Cell(name, title, 50.0 + k, 99, 99, 60.0 + k if k % 2 else None, k == 3, 49.0, 80.0, 50)
            for k, name in enumerate(names)))
        for title in ("EBPG, %", "Bbox, %", "mIoU, %")
    ]  # fmt: skip
    errors = Row("Errors", None, "count", tuple(Cell(n, "errors", k, k, k) for k, n in enumerate(names)))
    return Tables((Table("table1", "vgg16", "Wide", names, (*rows, shared, errors)),), ())


@pytest.mark.parametrize("width", [80, 100, 200])
def test_methods_become_lines_where_they_do_not_fit_beside_each_other(width: int) -> None:
    text = render(_methods_by_metrics(12), "terminal", width)
    assert max(map(len, text.splitlines())) <= width
    assert re.search(r"^ +EBPG, % ↑ +Bbox, % ↑ +mIoU, % ↑ +Errors$", text, re.M)
    assert re.findall(r"method_\d+", text) == [f"method_{k}" for k in range(12)]
    assert re.search(r"^method_3 +\*53.00 .*\n(  95 % .*\n)?  published +63.00 +63.00 +63.00$", text, re.M)
    assert re.search(r"^method_4 .*\n(  95 % .*\n)?method_5 ", text, re.M)
    assert "All methods: Pairs: 99." in text
    assert "method_0  method_1" in render(_methods_by_metrics(4), "terminal", width).replace("   ", "")


@pytest.mark.parametrize(("fmt", "most"), [("md", 6), ("latex", 4)])
def test_many_methods_become_lines_in_documents(fmt: str, most: int) -> None:
    for methods in (most, most + 1):
        text = render(_methods_by_metrics(methods), fmt)
        line = next(line for line in text.splitlines() if r"method\_3" in line)
        assert (line.count("53.00") == 3) == (methods > most)
        assert ("All methods: Pairs: 99." in text) == (methods > most)


def test_latex_tables_have_parts_of_the_width_of_a_page() -> None:
    text = render(_wide(10), "latex")
    assert text.count(r"\begin{tabular}{@{}lcc@{}}") == 1
    assert text.count("(continued)") == 0
    tall = Table("by_class", "vgg16", "Tall", tuple(f"m{k}" for k in range(6)), tuple(
        Row(f"class{k}", "up", "percent", tuple(Cell(f"m{j}", "x", 10.0 * k + j, 9, 9) for j in range(6)))
        for k in range(9)))  # fmt: skip
    text = render(Tables((tall,), ()), "latex")
    assert [text.count(rf"\begin{{tabular}}{{@{{}}l{columns}@{{}}}}") for columns in ("cccc", "cc")] == [1, 1]
    assert text.count("Tall") == 2
    assert text.count("(continued)") == 1
    assert sorted(re.findall(r" (\d+\.00) ", text)) == sorted(
        f"{10 * k + j}.00" for k in range(9) for j in range(6)
    )


@pytest.mark.parametrize("columns", [1, 4, 6, 20])
def test_every_column_is_printed_once_in_100_columns(columns: int) -> None:
    text = render(_wide(columns), "terminal")
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


def test_latex_rows_and_braces_balance() -> None:
    text = render(TABLES, "latex")
    assert text.isascii()
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    tabulars = re.findall(r"\\begin\{tabular\}\{@\{\}(lc*)@\{\}\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert [columns for columns, _ in tabulars] == ["lccc", "lccc", "lcc", "lcc"]
    for columns, body in tabulars:
        rules = (r"\toprule", r"\midrule", r"\bottomrule")
        lines = [line for line in body.splitlines() if line not in rules]
        assert all(line.endswith(r" \\") for line in lines)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}
        assert not any(line.startswith("[") for line in lines)
    assert r"EBPG, \% $\uparrow$ & 61.20 & \textbf{66.08} 150 pairs & $-$ \\" in text
    assert r"{\scriptsize [59.88, 62.50]} & {\scriptsize [64.90, 67.20]} &  \\" in text
    assert r"\quad {\scriptsize published} & {\scriptsize 63.24} & {\scriptsize 66.08} &  \\" in text
    assert r"{\scriptsize [$-$2.00, $-$0.50]} worse" in text
    assert r"EBPG, \% $\uparrow$" in text
    assert r"a\_file \& 50 \% of \#1: \{x\} \textbackslash{} \textasciitilde{} \textasciicircum{} \$" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles(tmp_path: Path) -> None:
    document = "\\documentclass{article}\n\\usepackage{booktabs}\n\\begin{document}\n%s\\end{document}\n"
    (tmp_path / "tables.tex").write_text(document % render(TABLES, "latex"))
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "tables.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)


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
