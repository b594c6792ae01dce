"""The tables as the report prints them: the same lines as in other formats, marked up in HTML."""

from __future__ import annotations

from markupsafe import escape

from adasise_bench.reporting.tables import Table
from adasise_bench.reporting.tables.grid import Grid, Style, legible

_HTML = Style(
    escape=lambda text: str(escape(text)),
    emphasise=lambda text: f"<strong>{text}</strong>",
    subtitle=lambda text: f'<small class="minor">{text}</small>',
    minor=lambda text: f'<small class="minor">{text}</small>',
)


def html_grid(table: Table) -> Grid:
    """The table's titles and lines; titles and numbers are HTML, with everything from outside escaped."""
    return legible(table, _HTML, stacked=True)
