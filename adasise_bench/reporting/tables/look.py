"""How tables are to look, in so far as the reader may choose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Span = Literal["column", "page"]
"""What a LaTeX table fills: a column of a page with two, or the page."""

Intervals = Literal["none", "pm", "brackets"]
"""How 95 % intervals are written: not at all, as half their width, or as their two ends."""

Notes = Literal["few", "all", "none"]
"""How many of the footnotes are shown."""

WIDTH = 100
"""Letters in a line where there is no terminal that has a width."""


@dataclass(frozen=True)
class Look:
    """The choices of a reader.

    Attributes:
        span: what a LaTeX table fills.
        intervals: how intervals are written in formats for people.
        notes: which footnotes there are.
        command: which of the tool's commands shows all notes, for the line that says so.
    """

    span: Span = "page"
    intervals: Intervals = "brackets"
    notes: Notes = "few"
    command: str = "table"


USUAL = Look()
"""How tables look if the reader chooses nothing."""
