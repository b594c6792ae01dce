import csv
import io
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from adasise_bench.render import FORMATS, render
from adasise_bench.tables import Cell, Row, Table, Tables

METHODS = ("extremal_perturbation", "sise", "odd_label")
NOTE = r"a_file & 50 % of #1: {x} \ ~ ^ $ <b> | é"


def _table1(model: str) -> Table:
    ebpg = (
        Cell(METHODS[0], "ebpg", 61.2, 153, 153, published=63.24),
        Cell(METHODS[1], "ebpg", 66.083, 150, 153, published=66.08, best=True),
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
    rows = (Row("Available", None, "maps", available), Row("SISE, kept (n=150)", None, "maps", kept))
    return Table("table2", "resnet50", "Table 2, resnet50", ("p1", "p2"), rows)


TABLES = Tables((_table1("vgg16"), _table1("resnet50"), _table2()), ("First note.", NOTE))


@pytest.mark.parametrize("fmt", FORMATS)
def test_every_format_ends_its_last_line(fmt: str) -> None:
    text = render(TABLES, fmt)
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


def test_terminal_stands_in_100_columns() -> None:
    text = render(TABLES, "terminal")
    assert max(map(len, text.splitlines())) <= 100
    assert "Extremal Perturbation" in text
    assert "*66.08 [66.08] n=150" in text
    assert "87.42 [87.42]" in text
    assert "*0.047 [9.21]" in text
    assert "EBPG, % ↑" in text
    assert "Run-time, s ↓" in text
    assert "64 [64]" in text
    assert "measured [published]" in text
    assert text.rstrip().endswith(NOTE)


def test_markdown_rows_have_as_many_columns_as_their_header() -> None:
    text = render(TABLES, "md")
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert [len(block) for block in blocks] == [6, 6, 4]
    for block in blocks:
        columns = [len(re.findall(r"(?<!\\)\|", line)) for line in block]
        assert len(set(columns)) == 1
        assert re.fullmatch(r"[|:-]+", block[1])
    assert "**66.08** [66.08] n=150" in text
    assert r"odd\_label" in text
    assert r"\<b\> \|" in text


def test_latex_rows_and_braces_balance() -> None:
    text = render(TABLES, "latex")
    assert text.isascii()
    bare = re.sub(r"\\[\\{}&%$#_]", "", text)
    assert bare.count("{") == bare.count("}")
    tabulars = re.findall(r"\\begin\{tabular\}\{(l r*|lr*)\}\n(.*?)\\end\{tabular\}", text, re.DOTALL)
    assert [columns for columns, _ in tabulars] == ["lrrr", "lrrr", "lrr"]
    for columns, body in tabulars:
        rules = (r"\toprule", r"\midrule", r"\bottomrule")
        lines = [line for line in body.splitlines() if line not in rules]
        assert all(line.endswith(r" \\") for line in lines)
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(columns) - 1}
        assert not any(line.startswith("[") for line in lines)
    assert r"\textbf{66.08} [66.08] n=150" in text
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
    assert len(rows) == 2 * 4 * 3 + 2 * 2
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
    }
    assert rows[2]["measured"] == rows[2]["published"] == ""
    assert rows[2]["best"] == "false"


def test_json_holds_everything() -> None:
    tree = json.loads(render(TABLES, "json"))
    assert tree["notes"] == list(TABLES.notes)
    assert [(table["name"], table["model"]) for table in tree["tables"]] == [
        ("table1", "vgg16"),
        ("table1", "resnet50"),
        ("table2", "resnet50"),
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
    }
