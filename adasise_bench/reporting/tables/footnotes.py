"""What stands under the tables: what the marks mean, then the notes, as many as the reader wants."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from adasise_bench.reporting.tables.grid import CHANCE_MARK
from adasise_bench.reporting.tables.look import WIDTH, Intervals, Look
from adasise_bench.reporting.tables.model import Tables
from adasise_bench.utils.text_tables import paragraph

MOST_LINES = 6
"""How many lines the footnotes take by default."""

_BEGINNING = 2
"""How many lines of the first note that does not fit are shown."""

Lines = Callable[[str], int]
"""How many lines a note takes."""


def in_letters(width: int = WIDTH) -> Lines:
    """The lines of notes where letters are equally wide, and ``width`` of them fit into a line."""
    return lambda note: len(paragraph(note, width).splitlines())


def footnotes(
    tables: Tables, best: str, look: Look, lines: Lines | None = None, *, counted: bool = True
) -> tuple[list[str], str]:
    """The footnotes that the reader wants, and a line that says how many more there are, if there are any.

    Args:
        tables: the tables.
        best: what marks the best value.
        look: which notes, and how intervals are written.
        lines: how many lines a note takes; by default, as :func:`in_letters`.
        counted: whether the line about the other notes is one of the lines that are shown.
    """
    every = [] if look.notes == "none" else all_footnotes(tables, best, look.intervals)
    shown, hidden = divided(every, lines, counted=counted) if look.notes == "few" else (every, [])
    return shown, f"{counted_notes(len(hidden))}: {look.command} --notes all" if hidden else ""


def counted_notes(count: int) -> str:
    """How many notes are not shown, in words."""
    return "1 more note" if count == 1 else f"{count} more notes"


def all_footnotes(tables: Tables, best: str, intervals: Intervals = "brackets") -> list[str]:
    """Every footnote, the most important ones first."""
    legend = "; ".join(_legend(tables, best, intervals))
    sentence = f"{legend[:1].upper()}{legend[1:]}."
    return [sentence, *tables.notes] if legend else list(tables.notes)


def divided(
    notes: Sequence[str], lines: Lines | None = None, *, counted: bool = True
) -> tuple[list[str], list[str]]:
    """The notes that fit into :data:`MOST_LINES` lines, each one that still fits in its turn, and the others.

    The notes begin with the most important ones. Therefore the first one that does not fit is shown with its
    beginning, and is among the others as well. If there are others and ``counted`` is true, one line is left
    for saying so.
    """
    lines = lines or in_letters()
    needed = [lines(note) for note in notes]
    if sum(needed) <= MOST_LINES:
        return list(notes), []
    shown: list[str] = []
    hidden: list[str] = []
    left = MOST_LINES - counted
    for note, height in zip(notes, needed, strict=True):
        if height <= left:
            shown.append(note)
            left -= height
            continue
        if not hidden and (beginning := _beginning(note, lines, min(left, _BEGINNING))):
            shown.append(beginning)
            left -= lines(beginning)
        hidden.append(note)
    return shown, hidden


def _beginning(note: str, lines: Lines, most: int) -> str:
    """As many words of a note as fit into so many lines, and dots; empty where not one word fits."""
    words = note.split(" ")

    def first(count: int) -> str:
        return f"{' '.join(words[:count])} ..."

    fitting = bisect_right(range(1, len(words)), most, key=lambda count: lines(first(count)))
    return first(fitting) if fitting else ""


def _legend(tables: Tables, best: str, intervals: Intervals) -> Iterator[str]:
    """What the marks in these tables mean."""
    rows = [row for table in tables.tables for row in table.rows]
    cells = [cell for row in rows for cell in row.cells]
    if any(cell.best for cell in cells):
        yield f"{best}: best measured value"
    if any(cell.exceeds_chance is False for cell in cells):
        yield f"{CHANCE_MARK}: the interval does not exceed what one gets without looking at the picture"
    if any(row.direction for row in rows):
        yield "↑ higher is better, ↓ lower"
    if any(cell.low is not None for cell in cells) and intervals != "none":
        written = "[low, high]" if intervals == "brackets" else "±"
        yield f"{written}: {'' if intervals == 'brackets' else 'half the width of the '}95 % interval"
    if any(cell.published is not None for cell in cells):
        yield "published: the papers' numbers"
    if any(cell.excludes_zero for cell in cells):
        yield "better, worse: the interval of the difference excludes 0"
    if any(cell.measured is not None and cell.n != cell.of for cell in cells):
        yield "pairs beside a number: how many it rests on, if not its method's Pairs"
