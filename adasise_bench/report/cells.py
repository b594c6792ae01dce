"""The tables as the report prints them: the lines of the other formats, with HTML's marks."""

from __future__ import annotations

from collections.abc import Iterator

from markupsafe import escape

from adasise_bench.layout import Line, Style, header, lines
from adasise_bench.tables import Table

_HTML = Style(
    escape=lambda text: str(escape(text)),
    emphasise=lambda text: f"<strong>{text}</strong>",
    subtitle=lambda text: f'<span class="minor">{text}</span>',
    minor=lambda text: f'<span class="minor">{text}</span>',
)


def html_header(table: Table) -> list[str]:
    """The titles of the columns as HTML."""
    return header(table, _HTML)


def html_lines(table: Table) -> Iterator[Line]:
    """The table's lines; titles and numbers are HTML, with everything from outside escaped."""
    return lines(table, _HTML, stacked=True)
