"""Renders tables for the terminal, Markdown, LaTeX, CSV and JSON.

rich, tabulate and pandas draw them. Made by hand is what they cannot do: on a terminal, numbers that stand
below each other with their intervals behind them, and columns in blocks of the terminal's width; in LaTeX,
the title above the table; in CSV, whole numbers beside missing ones.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields

import pandas as pd
from rich.cells import cell_len
from tabulate import tabulate

from adasise_bench.reporting.tables import Cell, Table, Tables
from adasise_bench.reporting.tables.grid import Grid, Line, Style, grid, legible, title, transposed
from adasise_bench.utils.messages import csv_cell, json_text, latex, markdown, printable, terminal
from adasise_bench.utils.text_tables import paragraph, text_table

WIDTH = 100
_GAP = 2
_LATEX_COLUMNS = 4
CSV_COLUMNS = ("table", "model", *(field.name for field in fields(Cell)), "direction")


def render(tables: Tables, fmt: str, width: int = WIDTH) -> str:
    """The tables as text in one of :data:`FORMATS`, ending in a line break.

    Numbers are rounded in ``terminal``, ``md`` and ``latex``, and kept in full in ``csv`` and ``json``.
    Methods that do not fit beside each other become lines; ``width`` is the terminal's, in letters.
    """
    return _terminal(tables, width) if fmt == "terminal" else FORMATS[fmt](tables)


def footnotes(tables: Tables, best: str) -> list[str]:
    """What stands under the tables: what the marks mean, ``best`` being the best value's, then the notes."""
    legend = "; ".join(_legend(tables, best))
    sentence = f"{legend[:1].upper()}{legend[1:]}."
    return [sentence, *tables.notes] if legend else list(tables.notes)


def _legend(tables: Tables, best: str) -> Iterator[str]:
    """What the marks in these tables mean."""
    rows = [row for table in tables.tables for row in table.rows]
    cells = [cell for row in rows for cell in row.cells]
    if any(cell.best for cell in cells):
        yield f"{best} marks the best measured value of a metric"
    if any(row.direction for row in rows):
        yield "↑ higher is better, ↓ lower"
    if any(cell.low is not None for cell in cells):
        yield "[low, high] is the 95 % interval of the number that it stands with"
    if any(cell.published is not None for cell in cells):
        yield "lines named published quote the papers, all others are measured"
    if any(cell.excludes_zero for cell in cells):
        yield "better, worse: the interval of the difference excludes 0"
    if any(cell.measured is not None and cell.n != cell.of for cell in cells):
        yield "n=: pairs behind a number, where fewer or more than its method's Pairs or the n at its title"


_TERMINAL = Style(escape=printable, emphasise=lambda text: f"*{text}", subtitle=lambda text: f"  {text}")


def _terminal(tables: Tables, width: int = WIDTH) -> str:
    blocks = []
    for table in tables.tables:
        blocks += [printable(title(table)), *_terminal_table(table, width)]
    blocks.append("\n".join(paragraph(note, width) for note in footnotes(tables, "*")))
    return terminal("\n\n".join(blocks)) + "\n"


def _terminal_table(table: Table, width: int) -> list[str]:
    """The table in the fewest blocks: intervals behind the numbers or below, methods as columns or lines."""
    grids = (
        lay_out(table, _TERMINAL, stacked=stacked)
        for lay_out in (grid, transposed)
        for stacked in (False, True)
    )
    layouts = [(_blocks(content, width), content.shared) for content in grids]
    blocks, shared = min(layouts, key=lambda layout: len(layout[0]))
    texts = []
    for block in blocks:
        header, *rows = zip(*block, strict=True)
        filled = [row for row in rows if any(text.strip() for text in row[1:])]
        texts.append(text_table("l" * len(header), filled, header, width=width))
    return [*texts, paragraph(shared, width)] if shared else texts


def _blocks(content: Grid, width: int) -> list[list[list[str]]]:
    """The columns in as many blocks as the width takes, each with the titles of the lines."""
    titles = ["", *(line.title for line in content.lines)]
    blocks = [[titles]]
    for index, name in enumerate(content.header):
        column = _column(name, content.lines, index)
        widths = [max(map(cell_len, texts)) + _GAP for texts in (*blocks[-1], column)]
        if len(blocks[-1]) > 1 and sum(widths) - _GAP > width:
            blocks.append([titles])
        blocks[-1].append(column)
    return blocks


def _column(name: str, text: Sequence[Line], index: int) -> list[str]:
    """A column's title and cells, the numbers flush right and what follows them flush left."""
    cells = [line.cells[index] for line in text]
    width = max(len(figure) for figure, _ in cells)
    header = " " * (width - cell_len(name)) + name
    return [header, *(f"{figure:>{width}} {rest}".rstrip() for figure, rest in cells)]


def _markdown(tables: Tables) -> str:
    blocks = []
    for table in tables.tables:
        content = legible(table, _MARKDOWN, stacked=False)
        header, *rows = _joined(content)
        blocks.append(f"### {markdown(title(table))}")
        blocks.append(tabulate(rows, header, tablefmt="pipe", disable_numparse=True))
        blocks += [content.shared] if content.shared else []
    blocks.append("\n".join(f"- {markdown(note)}" for note in footnotes(tables, "bold")))
    return "\n\n".join(blocks) + "\n"


def _joined(content: Grid) -> list[list[str]]:
    """The header and the lines, a text per cell."""
    lines = ([line.title, *(" ".join(cell).strip() for cell in line.cells)] for line in content.lines)
    return [["", *content.header], *lines]


_MARKDOWN = Style(
    escape=markdown,
    emphasise=lambda text: f"**{text}**",
    subtitle=lambda text: f"*{text}*",
)


def _latex(tables: Tables) -> str:
    blocks = [_latex_table(table) for table in tables.tables]
    notes = (latex(note) for note in footnotes(tables, "bold"))
    blocks.append("\n".join(rf"\par\noindent{{\footnotesize {note}}}" for note in notes))
    return "\n\n".join(blocks) + "\n"


def _latex_table(table: Table) -> str:
    """The table in parts that fit a page's width, each with the titles of the lines."""
    content = legible(table, _LATEX, stacked=True, most=_LATEX_COLUMNS)
    header, *rows = _joined(content)
    parts: list[str] = []
    for start in range(1, len(header), _LATEX_COLUMNS):
        columns = slice(start, start + _LATEX_COLUMNS)
        part = [[row[0], *row[columns]] for row in rows if any(row[columns])]
        body = pd.DataFrame(part, columns=[header[0], *header[columns]]).style.hide(axis="index")
        sides = f"@{{}}l{'c' * len(header[columns])}@{{}}"
        shared = content.shared if columns.stop >= len(header) else ""
        text = [
            r"\par\medskip\noindent\begin{minipage}{\linewidth}",
            rf"\textbf{{{latex(title(table))}{' (continued)' if parts else ''}}}\par\smallskip",
            r"\small\setlength{\tabcolsep}{3pt}%",
            body.to_latex(hrules=True, column_format=sides).rstrip(),
            *([rf"\par\smallskip{{\footnotesize {shared}}}"] if shared else []),
            r"\end{minipage}\par\medskip",
        ]
        parts.append("\n".join(text))
    return "\n\n".join(parts)


_LATEX = Style(
    escape=latex,
    emphasise=lambda text: rf"\textbf{{{text}}}",
    subtitle=lambda text: rf"\quad {{\scriptsize {text}}}",
    minor=lambda text: rf"{{\scriptsize {text}}}",
    figure=lambda text: text.replace("-", "$-$"),
)


def _csv(tables: Tables) -> str:
    rows = (
        {"table": table.name, "model": table.model, "direction": row.direction} | asdict(cell)
        for table in tables.tables
        for row in table.rows
        for cell in row.cells
    )
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _csv_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _csv_cell(value: object) -> object:
    """Truth values in lower case, and names that no spreadsheet takes for a formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return csv_cell(value) if isinstance(value, str) else value


def _json(tables: Tables) -> str:
    return json_text(asdict(tables)) + "\n"


FORMATS: Mapping[str, Callable[[Tables], str]] = {
    "terminal": _terminal,
    "md": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
"""The renderers by the name of their format."""
