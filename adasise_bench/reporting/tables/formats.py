"""Renders tables for the terminal, Markdown, LaTeX, CSV and JSON.

rich and tabulate draw them. Made by hand is what they cannot do: on a terminal, numbers that stand below each
other with their intervals behind them, and columns in blocks of the terminal's width; for LaTeX, see
:mod:`~adasise_bench.reporting.tables.latex`; in CSV, whole numbers beside missing ones.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from typing import NamedTuple

from rich.cells import cell_len
from tabulate import tabulate

from adasise_bench.reporting.tables import Cell, Table, Tables
from adasise_bench.reporting.tables.blocks import Cost, blocks, together
from adasise_bench.reporting.tables.footnotes import footnotes, in_letters
from adasise_bench.reporting.tables.grid import (
    Grid,
    Line,
    Style,
    deviation_line,
    grid,
    legible,
    title,
    transposed,
)
from adasise_bench.reporting.tables.latex import latex_tables
from adasise_bench.reporting.tables.latex_notes import printed_lines
from adasise_bench.reporting.tables.look import USUAL, WIDTH, Look
from adasise_bench.utils.messages import csv_cell, json_text, markdown, printable, terminal
from adasise_bench.utils.text_tables import paragraph, text_table

_GAP = 2
CSV_COLUMNS = ("table", "model", *(field.name for field in fields(Cell)), "direction", "deviations")


def render(tables: Tables, fmt: str, width: int = WIDTH, look: Look = USUAL) -> str:
    """The tables as text in one of :data:`FORMATS`, ending in a line break.

    Numbers are rounded in ``terminal``, ``md`` and ``latex``. They are kept in full, with both ends of the
    intervals, in ``csv`` and ``json``. Methods that do not fit beside each other become lines.

    Args:
        tables: what to show.
        fmt: name of the format.
        width: the terminal's, in letters.
        look: the reader's choices for the formats for people.
    """
    return _terminal(tables, look, width) if fmt == "terminal" else FORMATS[fmt](tables, look)


_TERMINAL = Style(escape=printable, emphasise=lambda text: f"*{text}", subtitle=lambda text: f"  {text}")


def _terminal(tables: Tables, look: Look, width: int = WIDTH) -> str:
    texts = []
    for table, layout in zip(tables.tables, _layouts(tables.tables, look, width), strict=True):
        heading = [title(table), *([paragraph(line, width)] if (line := deviation_line(table)) else [])]
        texts += ["\n".join(heading), *_terminal_table(layout, width)]
    notes, more = footnotes(tables, "*", look, in_letters(width))
    if lines := [*notes, *([more] if more else [])]:
        texts.append("\n".join(paragraph(line, width) for line in lines))
    return terminal("\n\n".join(texts)) + "\n"


class _Layout(NamedTuple):
    """A table's columns in blocks, each with the titles of the lines, and what holds for all lines."""

    blocks: list[list[list[str]]]
    transposed: bool
    shared: str

    @property
    def cost(self) -> Cost:
        """Fewer blocks are better, and of equally many, those with methods as columns."""
        return len(self.blocks), self.transposed


def _layouts(tables: Sequence[Table], look: Look, width: int) -> list[_Layout]:
    """The tables in the fewest blocks, with intervals behind the numbers or below.

    Half widths stand in the same place in all tables. Pairs of ends are long, so that every table has them
    where it has room.
    """
    style = replace(_TERMINAL, intervals=look.intervals)
    every = [[_layout(table, style, stacked, width) for table in tables] for stacked in (False, True)]
    if look.intervals == "pm":
        return min(every, key=lambda layouts: together(layout.cost for layout in layouts))
    return [min(places, key=lambda layout: layout.cost) for places in zip(*every, strict=True)]


def _layout(table: Table, style: Style, stacked: bool, width: int) -> _Layout:
    """The table in the fewest blocks: methods as columns or lines."""
    contents = [lay_out(table, style, stacked=stacked) for lay_out in (grid, transposed)]
    layouts = [
        _Layout(_blocks(content, width), place == 1, content.shared) for place, content in enumerate(contents)
    ]
    return min(layouts, key=lambda layout: layout.cost)


def _terminal_table(layout: _Layout, width: int) -> list[str]:
    texts = []
    for block in layout.blocks:
        header, *rows = zip(*block, strict=True)
        filled = [row for row in rows if any(text.strip() for text in row[1:])]
        texts.append(text_table("l" * len(header), filled, header, width=width))
    return [*texts, paragraph(layout.shared, width)] if layout.shared else texts


def _blocks(content: Grid, width: int) -> list[list[list[str]]]:
    """The columns in as many blocks as the width takes, each with the titles of the lines."""
    titles = ["", *(line.title for line in content.lines)]
    columns = [_column(name, content.lines, index) for index, name in enumerate(content.header)]
    widths = [_GAP + max(map(cell_len, texts)) for texts in columns]
    return [[titles, *columns[part]] for part in blocks(widths, width - max(map(cell_len, titles)))]


def _column(name: str, text: Sequence[Line], index: int) -> list[str]:
    """A column's title and cells, the numbers flush right and what follows them flush left."""
    cells = [line.cells[index] for line in text]
    width = max(len(figure) for figure, _ in cells)
    header = " " * (width - cell_len(name)) + name
    return [header, *(f"{figure:>{width}} {rest}".rstrip() for figure, rest in cells)]


def _markdown(tables: Tables, look: Look) -> str:
    style = replace(_MARKDOWN, intervals=look.intervals)
    texts = []
    for table in tables.tables:
        content = legible(table, style, stacked=False)
        header, *rows = _joined(content)
        texts.append(f"### {markdown(title(table))}")
        texts += [markdown(line)] if (line := deviation_line(table)) else []
        texts.append(tabulate(rows, header, tablefmt="pipe", disable_numparse=True))
        texts += [content.shared] if content.shared else []
    notes, more = footnotes(tables, "bold", look)
    if lines := [*notes, *([more] if more else [])]:
        texts.append("\n".join(f"- {markdown(line)}" for line in lines))
    return "\n\n".join(texts) + "\n"


def _joined(content: Grid) -> list[list[str]]:
    """The header and the lines, a text per cell."""
    lines = ([line.title, *(" ".join(cell).strip() for cell in line.cells)] for line in content.lines)
    return [["", *content.header], *lines]


_MARKDOWN = Style(
    escape=markdown,
    emphasise=lambda text: f"**{text}**",
    subtitle=lambda text: f"*{text}*",
)


def _latex(tables: Tables, look: Look) -> str:
    lines = partial(printed_lines, span=look.span)
    notes, more = footnotes(tables, "bold", look, lines, counted=False)  # what is more is a comment there
    return latex_tables(tables.tables, notes, more, look)


def _csv(tables: Tables, _: Look) -> str:
    rows = (
        {
            "table": table.name,
            "model": table.model,
            "direction": row.direction,
            "deviations": "; ".join(table.deviations) if cell.published is not None else "",
            **asdict(cell),
        }
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


def _json(tables: Tables, _: Look) -> str:
    return json_text(asdict(tables)) + "\n"


FORMATS: Mapping[str, Callable[[Tables, Look], str]] = {
    "terminal": _terminal,
    "md": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
"""The renderers by the name of their format."""
