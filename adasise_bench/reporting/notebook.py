"""Tables and figures as a notebook shows them."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from markupsafe import escape

from adasise_bench.reporting.report.cells import html_grid
from adasise_bench.reporting.tables import Table, Tables
from adasise_bench.reporting.tables.footnotes import all_footnotes, counted_notes, divided
from adasise_bench.reporting.tables.grid import deviation_line, title

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_LEFT = ' style="text-align: left"'
"""Written into every cell, because viewers of notebooks drop style sheets."""


def tables_html(tables: Tables) -> str:
    """The tables and their notes as HTML; everything that comes from outside is escaped."""
    shown, hidden = divided(all_footnotes(tables, "bold"))
    summary = f"<summary>{counted_notes(len(hidden))}</summary>"
    rest = f"<details>{summary}{_list_html(hidden)}</details>" if hidden else ""
    return "\n".join([*map(_table_html, tables.tables), _list_html(shown), rest])


def _list_html(notes: Iterable[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f"<ul>{items}</ul>"


def _table_html(table: Table) -> str:
    grid = html_grid(table)
    lines = ((line.title, [" ".join(cell).strip() for cell in line.cells]) for line in grid.lines)
    shared = f"<p>{grid.shared}</p>" if grid.shared else ""
    line = deviation_line(table)
    heading = f"<h4>{escape(title(table))}</h4>\n{f'<p>{escape(line)}</p>' if line else ''}"
    return f"{heading}{html_table(grid.header, lines)}{shared}"


def html_table(
    header: Sequence[str], lines: Iterable[tuple[str, Iterable[str]]], words: Collection[str] = ()
) -> str:
    """A table of cells that are HTML already.

    Args:
        header: the titles of the columns, without that of the lines' titles.
        lines: every line's title and its cells.
        words: titles of the columns that hold words. These begin at the left, as the lines' titles do;
            notebooks set everything at the right otherwise.
    """
    sides = [_LEFT if title in words else "" for title in header]
    titles = (f'<th scope="col"{side}>{title}</th>' for title, side in zip(header, sides, strict=True))
    head = f"<tr><td></td>{''.join(titles)}</tr>"
    body = "\n".join(_line(name, cells, sides) for name, cells in lines)
    return f"<table>\n<thead>{head}</thead>\n<tbody>{body}</tbody>\n</table>"


def _line(name: str, cells: Iterable[str], sides: Iterable[str]) -> str:
    texts = (f"<td{side}>{cell}</td>" for cell, side in zip(cells, sides, strict=True))
    return f'<tr><th scope="row"{_LEFT}>{name}</th>{"".join(texts)}</tr>'


def figure_png(figure: Figure, dots_per_inch: int = 100) -> bytes:
    """A figure as a PNG file."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dots_per_inch)
    return content.getvalue()
