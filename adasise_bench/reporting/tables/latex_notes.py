"""Notes below tables for LaTeX: how many lines they take in print, and what they are in its language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from adasise_bench.reporting.tables.letter_widths import width, wrapped
from adasise_bench.reporting.tables.look import Span
from adasise_bench.utils.messages import latex, printable

WIDTHS: Mapping[Span, float] = {"column": 221.0, "page": 345.0}
"""Points. The column of ``article`` in two columns on A4 paper, and the text of ``article`` in one column:
the narrowest of the usual classes. IEEE's and CVPR's columns have 252 and 237 points."""

SIZE = 8.0
"""Points of the letters of tables and notes."""

GAP = 0.4
"""How many lines the distance above a note takes."""

_LONGEST_PART = WIDTHS["column"] / 3
"""Points of a word that are never broken; between such parts, a longer word may be."""


class Piece(NamedTuple):
    """Something that stands in a float as a whole, and about how many lines it takes."""

    text: str
    lines: float

    def above(self, other: Piece) -> Piece:
        """Both, this one above."""
        return Piece(f"{self.text}\n{other.text}".strip("\n"), self.lines + other.lines)


NOTHING = Piece("", 0)


def printed_lines(text: str, span: Span) -> int:
    """How many lines a note takes in print.

    A line ends at a space, or between the parts of a long word. TeX could also end it behind a hyphen, but
    in ragged text it prefers another line.
    """
    room = WIDTHS[span]
    lines, used = 1, 0.0
    for word in printable(text).split(" "):
        for number, part in enumerate(wrapped(word, SIZE, _LONGEST_PART)):
            space = width(" ", SIZE) if used and not number else 0.0
            if used and used + space + width(part, SIZE) > room:
                lines, used, space = lines + 1, 0.0, 0.0
            used += space + width(part, SIZE)
    return lines


def note(text: str, span: Span) -> Piece:
    """A note as a paragraph of its own."""
    words = (
        r"\allowbreak{}".join(map(latex, wrapped(word, SIZE, _LONGEST_PART))) for word in text.split(" ")
    )
    paragraph = rf"\par\smallskip{{\raggedright\noindent {' '.join(words)}\par}}"
    return Piece(paragraph, printed_lines(text, span) + GAP)


def foot(notes: Sequence[str], span: Span) -> Piece:
    """All notes, one below the other."""
    found = NOTHING
    for text in notes:
        found = found.above(note(text, span))
    return found


def apart(notes: Piece, labels: Sequence[str]) -> str:
    """The notes as a text of their own, which goes on from column to column and from page to page.

    Args:
        notes: as :func:`foot` gives them.
        labels: of the first and the last table, or of the only one.
    """
    numbers = " to~".join(rf"\ref{{tab:{label}}}" for label in labels)
    tables = "Tables" if len(labels) > 1 else "Table"
    heading = rf"\noindent Notes on {tables}~{numbers}:\par"
    letters = rf"\fontsize{{{SIZE:g}}}{{{SIZE + 1.5:g}}}\selectfont"
    return "\n".join([r"\par\medskip", f"{{{letters}", heading, notes.text, r"}\par\medskip"])
