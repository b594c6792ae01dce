"""Renders tables for the terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict

from tabulate import tabulate

from adasise_bench.tables import Cell, Direction, Row, Table, Tables, Unit, number, title_of

WIDTH = 100
ARROWS: Mapping[Direction, str] = {"up": "↑", "down": "↓"}
LEGEND = (
    "measured [published]; {best} is the best measured value of its row; ↑ higher is better, ↓ lower; "
    "n=: values behind a number, where fewer or more than its column's Pairs."
)
CSV_COLUMNS = (
    "table",
    "model",
    "method",
    "metric",
    "measured",
    "n",
    "of",
    "published",
    "direction",
    "best",
)


def render(tables: Tables, fmt: str) -> str:
    """The tables as text in one of :data:`FORMATS`, ending in a line break.

    Numbers are rounded in ``terminal``, ``md`` and ``latex``, and kept in full in ``csv`` and ``json``.
    """
    return FORMATS[fmt](tables)


def _cell(cell: Cell, unit: Unit, emphasise: Callable[[str], str]) -> str:
    text = "-" if cell.measured is None else number(cell.measured, unit)
    if cell.best:
        text = emphasise(text)
    if cell.published is not None:
        text += f" [{number(cell.published, unit)}]"
    if cell.measured is not None and cell.n != cell.of:
        text += f" n={cell.n}"
    return text


def _row_title(row: Row) -> str:
    return f"{row.title} {ARROWS[row.direction]}" if row.direction else row.title


def _grid(table: Table, escape: Callable[[str], str], emphasise: Callable[[str], str]) -> list[list[str]]:
    """Header and rows as text; the first column holds the rows' titles."""
    header = ["", *(escape(title_of(column)) for column in table.columns)]
    rows = [
        [escape(_row_title(row)), *(_cell(cell, row.unit, emphasise) for cell in row.cells)]
        for row in table.rows
    ]
    return [header, *rows]


def _terminal(tables: Tables) -> str:
    blocks = []
    for table in tables.tables:
        header, *rows = _grid(table, escape=str, emphasise=lambda text: f"*{text}")
        blocks.append(f"{table.title}\n\n{_tabulate(header, rows, 'simple')}")
    notes = (LEGEND.format(best="*"), *tables.notes)
    blocks.append("\n".join(textwrap.fill(note, WIDTH, subsequent_indent="  ") for note in notes))
    return "\n\n".join(blocks) + "\n"


def _markdown(tables: Tables) -> str:
    blocks = []
    for table in tables.tables:
        header, *rows = _grid(table, escape=_escape_markdown, emphasise=lambda text: f"**{text}**")
        blocks.append(f"### {_escape_markdown(table.title)}\n\n{_tabulate(header, rows, 'pipe')}")
    notes = (LEGEND.format(best="bold"), *tables.notes)
    blocks.append("\n".join(f"- {_escape_markdown(note)}" for note in notes))
    return "\n\n".join(blocks) + "\n"


def _tabulate(header: list[str], rows: list[list[str]], style: str) -> str:
    alignment = ["left", *["right"] * (len(header) - 1)]
    return tabulate(rows, header, tablefmt=style, disable_numparse=True, colalign=alignment)


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*_<>|\[\]$])", r"\\\1", text)


def _latex(tables: Tables) -> str:
    blocks = [_latex_table(table) for table in tables.tables]
    notes = (LEGEND.format(best="bold"), *tables.notes)
    blocks.append("\n".join(rf"\par\noindent{{\footnotesize {_escape_latex(note)}}}" for note in notes))
    return "\n\n".join(blocks) + "\n"


def _latex_table(table: Table) -> str:
    header, *rows = (
        " & ".join(line) + r" \\"
        for line in _grid(table, escape=_escape_latex, emphasise=lambda text: rf"\textbf{{{text}}}")
    )
    lines = [
        rf"\par\noindent\textbf{{{_escape_latex(table.title)}}}\par\smallskip\noindent",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        header,
        r"\midrule",
        *rows,
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


_LATEX = {letter: "\\" + letter for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def _escape_latex(text: str) -> str:
    """Text safe for pdflatex; letters beyond ASCII become ``?``, since its fonts may lack them."""
    return "".join(_LATEX.get(letter, letter if letter.isascii() else "?") for letter in text)


def _csv(tables: Tables) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables.tables:
        for row in table.rows:
            for cell in row.cells:
                place = {"table": table.name, "model": table.model, "direction": row.direction}
                writer.writerow(place | asdict(cell) | {"best": str(cell.best).lower()})
    return text.getvalue()


def _json(tables: Tables) -> str:
    return json.dumps(asdict(tables), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Tables], str]] = {
    "terminal": _terminal,
    "md": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
"""The renderers by the name of their format."""
