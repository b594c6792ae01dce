"""Lays a table out as lines of text, the same for terminal, Markdown, LaTeX and HTML."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from adasise_bench.metrics.registry import Direction
from adasise_bench.reporting.tables import Cell, Row, Table, counted_pairs, number, title_of
from adasise_bench.reporting.tables.look import Intervals

ARROWS: Mapping[Direction, str] = {"up": "↑", "down": "↓"}

CHANCE_MARK = "°"
"""Behind a number that may be no better than what one gets without looking at the picture."""


@dataclass(frozen=True)
class Style:
    """What differs between text formats.

    Attributes:
        escape: makes any text safe.
        emphasise: marks the best number.
        subtitle: the title of a line that belongs to the line above.
        minor: an interval or another number that belongs to the one above or before.
        figure: a plain number.
        intervals: how intervals are written.
    """

    escape: Callable[[str], str] = str
    emphasise: Callable[[str], str] = str
    subtitle: Callable[[str], str] = str
    minor: Callable[[str], str] = str
    figure: Callable[[str], str] = str
    intervals: Intervals = "brackets"


Texts = tuple[tuple[str, str], ...]
"""A number and what follows it, one after the other."""


class Line(NamedTuple):
    """A line's title and, per column, a number and what follows it."""

    title: str
    cells: Texts


class Grid(NamedTuple):
    """A table as text: the titles of its columns, its lines, and what holds for all lines."""

    header: list[str]
    lines: list[Line]
    shared: str = ""


MOST_COLUMNS = 6
"""More methods than that are lines rather than columns, where a format has no width of its own."""


def title(table: Table) -> str:
    """The table's title, with the arrow that all its rows share."""
    arrow = _shared_arrow(table)
    return f"{table.title} {arrow}" if arrow else table.title


def deviation_line(table: Table) -> str:
    """In which settings the measured numbers differ from the published ones that stand beside them."""
    return f"Measured otherwise than published: {'; '.join(table.deviations)}." if table.deviations else ""


def grid(table: Table, style: Style, *, stacked: bool) -> Grid:
    """The measured numbers, with their intervals behind or (``stacked``) below them; then the published."""
    arrow = _shared_arrow(table)
    lines = []
    for row in table.rows:
        parts = _parts(row, style, stacked)
        lines.append(Line(style.escape(_row_title(row, arrow)), parts.pop("")))
        lines += [Line(_subtitle(kind, style), texts) for kind, texts in parts.items()]
    return Grid([style.escape(title_of(column)) for column in table.columns], lines)


def transposed(table: Table, style: Style, *, stacked: bool) -> Grid:
    """The same with a line per method and a column per measure; counts that all methods share stand apart."""
    arrow = _shared_arrow(table)
    rows = [row for row in table.rows if not _is_shared(row)]
    parts = [_parts(row, style, stacked) for row in rows]
    kinds = list(dict.fromkeys(kind for part in parts for kind in part))
    lines = []
    for index, column in enumerate(table.columns):
        for kind in kinds:
            texts = tuple(part[kind][index] if kind in part else ("", "") for part in parts)
            if any(figure for figure, _ in texts):
                lines.append(Line(_subtitle(kind, style) or style.escape(title_of(column)), texts))
    shared = (
        f"{row.title}: {_measured(row.cells[0], row, Style())}" for row in table.rows if _is_shared(row)
    )
    text = style.escape("; ".join(shared))
    header = [style.escape(_row_title(row, arrow)) for row in rows]
    return Grid(header, lines, text and f"All rows: {text}.")


def legible(table: Table, style: Style, *, stacked: bool, most: int = MOST_COLUMNS) -> Grid:
    """The table as it is, or transposed where it has more columns than ``most`` and fewer then."""
    across = transposed(table, style, stacked=stacked)
    if len(table.columns) > most and len(across.header) < len(table.columns):
        return across
    return grid(table, style, stacked=stacked)


def _parts(row: Row, style: Style, stacked: bool) -> dict[str, Texts]:
    """The texts of a row's cells: the numbers, and what stands below them by its name."""
    parts = {"": tuple((_measured(cell, row, style), _rest(cell, row, style, stacked)) for cell in row.cells)}
    if _is_below(stacked, style) and any(cell.low is not None for cell in row.cells):
        parts["95 % interval"] = tuple((_with_verdict(cell, row, style), "") for cell in row.cells)
    if any(cell.published is not None for cell in row.cells):
        parts["published"] = tuple((_published(cell, row, style), "") for cell in row.cells)
    return parts


def _is_below(stacked: bool, style: Style) -> bool:
    """Whether intervals have a line of their own."""
    return stacked and style.intervals != "none"


def _subtitle(kind: str, style: Style) -> str:
    return style.subtitle(style.escape(kind)) if kind else ""


def _is_shared(row: Row) -> bool:
    """Whether a row says what a table rests on, and the same of all methods."""
    cells = row.cells
    return row.direction is None and len({(cell.measured, cell.n == cell.of) for cell in cells}) == 1


def _shared_arrow(table: Table) -> str:
    directions = {row.direction for row in table.rows}
    shared = directions.pop() if len(directions) == 1 else None
    return ARROWS[shared] if shared else ""


def _row_title(row: Row, shared_arrow: str) -> str:
    words = [row.title]
    if row.direction and not shared_arrow:
        words.append(ARROWS[row.direction])
    if n := _shared_n(row):
        words.append(f"({counted_pairs(n)})")
    return " ".join(words)


def _shared_n(row: Row) -> int | None:
    """The n of all numbers of a row, where it is the same and not what it should be."""
    measured = [cell for cell in row.cells if cell.measured is not None]
    counts = {cell.n for cell in measured}
    return counts.pop() if len(counts) == 1 and all(cell.n != cell.of for cell in measured) else None


def _text(value: float, cell: Cell, row: Row) -> str:
    sign = "+" if cell.against is not None and value > 0 else ""
    return sign + number(value, row.unit)


def _measured(cell: Cell, row: Row, style: Style) -> str:
    text = style.figure("-" if cell.measured is None else _text(cell.measured, cell, row))
    return style.emphasise(text) if cell.best else text


def _rest(cell: Cell, row: Row, style: Style, stacked: bool) -> str:
    words = [style.escape(CHANCE_MARK)] if cell.exceeds_chance is False else []
    words += [] if _is_below(stacked, style) else [_with_verdict(cell, row, style)]
    if cell.measured is not None and cell.n != cell.of and _shared_n(row) is None:
        words.append(counted_pairs(int(cell.n or 0)))
    return " ".join(word for word in words if word)


def _with_verdict(cell: Cell, row: Row, style: Style) -> str:
    if cell.low is None or cell.high is None:
        return ""
    words = [] if style.intervals == "none" else [style.minor(style.figure(_interval(cell, row, style)))]
    if cell.excludes_zero and row.direction is not None:
        words.append("better" if (cell.low > 0) == (row.direction == "up") else "worse")
    return " ".join(words)


def _interval(cell: Cell, row: Row, style: Style) -> str:
    low, high = cell.low or 0.0, cell.high or 0.0
    if style.intervals == "pm":
        return f"±{number((high - low) / 2, row.unit)}"
    return f"[{_text(low, cell, row)}, {_text(high, cell, row)}]"


def _published(cell: Cell, row: Row, style: Style) -> str:
    return "" if cell.published is None else style.minor(style.figure(_text(cell.published, cell, row)))
