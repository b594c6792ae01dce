"""Any text in any format: read back by that format's own parser, it is one cell, and nothing obeys it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator

import pytest
from defusedxml import ElementTree
from hypothesis import example, given, settings
from hypothesis import strategies as st

from adasise_bench.methods import METHODS
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.regression.comparison import Finding
from adasise_bench.regression.output import as_json, as_junit, as_text, summary
from adasise_bench.reporting.tables import Cell, Row, Table, Tables
from adasise_bench.reporting.tables.formats import render
from adasise_bench.utils.messages import csv_cell, json_text, latex, markdown, printable, terminal

HOSTILE = [
    "2\x1b]0;title\x07\x1b[2J\n::error::forged\n```\n<b>forged</b>",
    "  ::set-output name=x::y",
    "##[error]forged",
    "a ##vso[task.setvariable variable=x]y",
    "=HYPERLINK(1)",
    "\t=1+1",
    "-1+1",
    "＝1",  # noqa: RUF001 - the wide letter is what is tested
    "@SUM(A1)",
    "[1cm]",
    "*",
    r"\input{x} \\ & % $",
    "a | b",
    "a \\",
    "# heading",
    "- entry",
    "1. entry",
    "&#124;",
    "<script>alert(1)</script>",
    "\0",
    "\ud800",
    "\u202eabc",
    "\x9b31m",
    "\ufffe",
    "a\u2028b",
]
"""What has a meaning in one of the formats."""

texts = st.one_of(
    st.text(max_size=20),
    st.text("\\`*_<>|[]$&~#:=+-@\"',;{}^%\n\r\t\0\x1b \u2028vso1.)", max_size=20),
    st.sampled_from(HOSTILE),
    st.text(st.characters(categories=["Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"]), max_size=5),
).filter(lambda text: text not in METHODS and text not in ARCHITECTURES)
few = settings(max_examples=150, deadline=None)


def tables(text: str) -> Tables:
    """A table with ``text`` wherever a file's text gets into one."""
    cells = (
        Cell(text, "ebpg", 1.5, 3, 3, group=text, against=text, low=1.0, high=2.0),
        Cell("b", "ebpg", 2.5, 3, 3),
    )
    rows = (Row(text, "up", "percent", cells), Row("Pairs", None, "count", cells))
    return Tables((Table("table1", text, text, (text, "b"), rows),), (text,))


def findings(text: str) -> list[Finding]:
    failed = Finding(text, text, "ebpg", "failed", text, 1.0, 2.0, 1.0, 0.5, 1.0, 0.5, text, 3)
    return [failed, Finding(text, text, "pairs", "passed", text)]


def obeyed(text: str) -> bool:
    """Whether a terminal or a CI server would take a part of the text for an order."""
    lines = text.split("\n")
    return not all(line.isprintable() for line in lines) or any(
        line.lstrip().startswith("::") or "##[" in line or "##vso[" in line for line in lines
    )


@pytest.mark.parametrize("text", [text for text in HOSTILE if obeyed(text)])
def test_the_samples_are_what_the_tests_look_for(text: str) -> None:
    assert obeyed(text)
    assert not obeyed(terminal(text))


@few
@given(texts)
def test_one_line_whatever_the_text(text: str) -> None:
    line = printable(text)
    assert line.isprintable()
    assert len(line) == len(text)
    assert printable(line) == line


@few
@given(st.text(st.characters(categories=["L", "N"]), max_size=20))
def test_ordinary_names_stay_as_they_are(text: str) -> None:
    for function in (printable, terminal, markdown, csv_cell):
        assert function(text) == text.strip()
    assert json.loads(json_text(text)) == text


@few
@given(texts)
def test_terminal(text: str) -> None:
    assert not obeyed(render(tables(text), "terminal"))
    assert not obeyed(summary(findings(text))) or text.startswith(("::", "##"))
    made = {"tool": {"version": text, "commit": text}, "torch": text, "device_name": text, "device": text}
    lines = as_text(findings(text), made, {"tool": text, "precision": [text]})
    assert not obeyed(lines)
    assert lines.count("\n") == 9


@few
@given(texts)
def test_json(text: str) -> None:
    for written in (render(tables(text), "json"), as_json(findings(text), {"torch": text}, {})):
        assert written.isascii() or not obeyed(written)
        assert not obeyed(written)
        written.encode()
    # Two surrogates that stand together become the letter that they mean, as in every reader of JSON.
    read = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    assert json.loads(render(tables(text), "json"))["notes"] == [read]
    assert json.loads(as_json(findings(text), {"torch": text}, {}))["base"]["torch"] == read


@few
@given(texts)
def test_junit(text: str) -> None:
    written = as_junit(findings(text))
    suite = ElementTree.fromstring(written)[0]
    cases = list(suite)
    assert len(cases) == 2
    assert cases[0].get("classname") == printable(f"{text}.{text}")
    assert [(outcome.tag, outcome.get("message")) for outcome in cases[0]] == [("failure", printable(text))]
    assert list(cases[1]) == []


@few
@given(texts)
def test_csv(text: str) -> None:
    written = render(tables(text), "csv")
    rows = list(csv.DictReader(io.StringIO(written, newline=""), strict=True))
    assert len(rows) == 4
    assert all(None not in row and None not in row.values() for row in rows)
    assert not obeyed(written)
    for cell in (rows[0]["method"], rows[0]["model"], rows[0]["group"]):
        assert not cell.lstrip().startswith(tuple("=+-@＝＋－＠"))  # noqa: RUF001
        assert cell.removeprefix("'").replace(" ", "") == printable(text).removeprefix("'").replace(" ", "")
    assert float(rows[0]["measured"]) == 1.5


def test_negative_numbers_stay_numbers_in_csv() -> None:
    row = Row("x", "up", "percent", (Cell("a", "x", -1.5, 3, 3),))
    written = render(Tables((Table("table1", "m", "t", ("a",), (row,)),), ()), "csv")
    assert next(csv.DictReader(io.StringIO(written)))["measured"] == "-1.5"


def cells_of(line: str) -> list[str]:
    """A row of a table of GitHub's Markdown, its escapes undone; a bar with a backslash ends no cell."""
    assert line.startswith("| ")
    assert line.endswith(" |")
    return [re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", cell).strip() for cell in _split(line[1:-1])]


def _split(row: str) -> list[str]:
    cells, escaped = [""], False
    for letter in row:
        if letter == "|" and not escaped:
            cells.append("")
        else:
            cells[-1] += letter
        escaped = letter == "\\" and not escaped
    return cells


@few
@given(texts)
def test_markdown(text: str) -> None:
    written = render(tables(text), "md")
    assert not obeyed(written)
    heading, empty, *table, gap, _legend, note = written.splitlines()
    name = printable(text).strip()
    assert (empty, gap) == ("", "")
    assert heading.startswith("### ")
    assert [len(cells_of(line)) for line in table if not line.startswith("|:--")] == [3, 3, 3]
    assert cells_of(table[0])[1:] == [name, "b"]
    assert cells_of(table[2])[0].split() == [*name.split(), "↑"]
    assert note.startswith("- ")


def unescaped(text: str) -> str:
    return re.sub(r"\\([!-/:-@\[-`{-~])", "", text)


@few
@given(texts)
@example("&lt;")
def test_nothing_in_markdown_is_markup(text: str) -> None:
    """Nothing that begins HTML, an entity, a link, code or emphasis is left without a backslash."""
    written = markdown(text)
    assert not set("`*_<>|[]$&~").intersection(unescaped(written))
    assert not re.match(r"[#=+-]|\d+[.)]", written)


def tokens(text: str) -> Iterator[str]:
    """As TeX reads them: control words (with the blanks behind them), control symbols, letters."""
    yield from re.findall(r"\\[A-Za-z]+ *|\\.|.|\n", text)


def latex_cells(body: str) -> list[list[str]]:
    """The rows of a tabular, split where TeX splits them; no line's end may be followed by an argument.

    In braces, a line's end is one within a cell.
    """
    rows, depth, after_end = [[""]], 0, False
    for token in tokens(body):
        assert token != "%"
        if token == r"\\":
            if depth == 0:
                rows.append([""])
            after_end = True
            continue
        if after_end and token.strip():
            assert token not in "[*", "read as an argument of the line's end"
            after_end = False
        depth += {"{": 1, "}": -1}.get(token, 0)
        assert depth >= 0
        if token == "&" and depth == 0:
            rows[-1].append("")
        else:
            rows[-1][-1] += token
    assert depth == 0
    return rows[:-1]


@few
@given(texts)
def test_latex(text: str) -> None:
    written = render(tables(text), "latex")
    assert written.isascii()
    assert not obeyed(written)
    bodies = re.findall(r"\\toprule\n(.*?)\\bottomrule\n", written, re.DOTALL)
    assert len(bodies) == 1
    body = bodies[0]
    head, rest = body.split("\\midrule\n", 1)
    assert not rest.lstrip().startswith("["), "read as the rule's width"
    rows = latex_cells(head) + latex_cells(rest)
    assert {len(row) for row in rows} == {3}
    words = {token.strip() for token in tokens(latex(text)) if re.match(r"\\[A-Za-z]", token)}
    names = (
        "textbackslash textasciitilde textasciicircum textless textgreater textbar uparrow downarrow circ pm"
    )
    assert words <= {f"\\{name}" for name in names.split()}
