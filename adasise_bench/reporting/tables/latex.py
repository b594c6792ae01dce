r"""Lays tables out for LaTeX, so that they fit into a column or a page of any usual document class.

The letters have a fixed size. How wide a column becomes is therefore known before LaTeX runs, and methods
that do not fit beside each other go into another block, become lines, or go into another float. The document
needs ``\usepackage{booktabs}``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from adasise_bench.reporting.tables import Table
from adasise_bench.reporting.tables.blocks import Cost, blocks, together
from adasise_bench.reporting.tables.grid import Grid, Line, Style, deviation_line, grid, title, transposed
from adasise_bench.reporting.tables.latex_notes import NOTHING, SIZE, WIDTHS, Piece, apart, foot
from adasise_bench.reporting.tables.letter_widths import BOLD, SMALL, width, wrapped
from adasise_bench.reporting.tables.look import Intervals, Look, Span
from adasise_bench.utils.messages import latex, printable

_ENVIRONMENTS: Mapping[Span, str] = {"column": "table", "page": "table*"}

_SMALL = 7.0
_SEPARATION = 3.0
_GAP = 2 * _SEPARATION
_INDENT = 8.0
_TITLE_SHARES = (0.4, 0.3)
"""How much of the width the titles of the lines may take; longer ones are broken. The second is tried where
the first leaves too little for the numbers."""

_SHORTEST_HEADER = 50.0
"""Points that a column's title has at least before it is broken."""

_MOST_LINES = 44
"""Lines of a float; with its caption, they fit on one page."""

_HEAD_LINES = 3
"""Lines that a block takes besides its own, for its rules and the distance to the next one."""

_FEWEST_ROWS = 8
"""Lines of a block's own that a float has at least, however high the columns' titles are."""

_FEW_NOTES = 10
"""Lines of notes for which a table is rather divided than that they stand elsewhere; the most important
notes take fewer."""

PREAMBLE = (
    "% In the preamble: \\usepackage{booktabs}\n"
    rf"\providecommand{{\adasisesmall}}[1]{{{{\fontsize{{{_SMALL:g}}}{{{_SMALL + 1:g}}}\selectfont #1}}}}"
)

# Marks within the texts of a grid; no text from outside has them, for they do not print.
_BOLD, _MINOR, _END, _BELOW = "\x01", "\x02", "\x03", "\x04"


def _style(intervals: Intervals) -> Style:
    return Style(
        escape=printable,
        emphasise=lambda text: f"{_BOLD}{text}{_END}",
        subtitle=lambda text: f"{_BELOW}{text}",
        minor=lambda text: f"{_MINOR}{text}{_END}",
        figure=lambda text: text.replace("-", "\N{MINUS SIGN}"),
        intervals=intervals,
    )


def latex_tables(tables: Sequence[Table], notes: Sequence[str], more: str, look: Look) -> str:
    """The tables as floats with captions and labels; the notes stand below the last one.

    Notes never have a float of their own. Where they are too long to stand below a table, they are a text
    behind the floats, which names the tables by their numbers.

    Args:
        tables: what to lay out.
        notes: as plain text.
        more: says that there are more notes; a comment, for it is not meant for the paper's readers.
        look: ``span`` and ``intervals`` are used.
    """
    seen: Counter[str] = Counter()
    labels = [_label(table, seen) for table in tables]
    layouts = _layouts(tables, look)
    below = foot(notes, look.span)
    fits = bool(layouts) and layouts[-1].takes(below)
    parts = [PREAMBLE]
    for number, (table, label, layout) in enumerate(zip(tables, labels, layouts, strict=True), 1):
        pieces = layout.pieces(below if fits and number == len(tables) else NOTHING)
        parts += [_float(group, table, label, part, look.span) for part, group in enumerate(_packed(pieces))]
    if notes and not fits:
        parts.append(apart(below, list(dict.fromkeys([*labels[:1], *labels[-1:]]))))
    return "\n\n".join([*parts, *([f"% {printable(more)}"] if more else [])]) + "\n"


def _label(table: Table, seen: Counter[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{table.name}-{table.model}").strip("-").lower()
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


def _float(group: Sequence[Piece], table: Table, label: str, part: int, span: Span) -> str:
    environment = _ENVIRONMENTS[span]
    # A float numbers itself, so that the caption does not repeat the paper's number.
    heading = re.sub(r"^Table \d+, ", "", title(table))
    caption = f"{heading} (continued)" if part else ". ".join(filter(None, [heading, deviation_line(table)]))
    return "\n".join(
        [
            rf"\begin{{{environment}}}[tp]",
            r"\centering",
            *([r"\addtocounter{table}{-1}"] if part else []),
            rf"\caption{{{latex(caption)}}}",
            *([] if part else [rf"\label{{tab:{label}}}"]),
            r"\par\smallskip",
            rf"\fontsize{{{SIZE:g}}}{{{SIZE + 1.5:g}}}\selectfont",
            rf"\setlength{{\tabcolsep}}{{{_SEPARATION:g}pt}}",
            *(piece.text for piece in group),
            rf"\end{{{environment}}}",
        ]
    )


def _packed(pieces: Iterable[Piece]) -> list[list[Piece]]:
    """The pieces in as few floats as hold them, in their order."""
    floats: list[list[Piece]] = [[]]
    for piece in pieces:
        if floats[-1] and sum(one.lines for one in floats[-1]) + piece.lines > _MOST_LINES:
            floats.append([])
        floats[-1].append(piece)
    return floats


def _layouts(tables: Sequence[Table], look: Look) -> list[_Layout]:
    """The tables in the fewest blocks, with the intervals in the same place in all of them."""
    places = (True,) if look.intervals == "brackets" else (False, True)
    every = ([_layout(table, look, stacked) for table in tables] for stacked in places)
    return min(every, key=lambda layouts: together(layout.cost for layout in layouts))


def _layout(table: Table, look: Look, stacked: bool) -> _Layout:
    """The table in the fewest blocks: methods as columns or lines."""
    style = _style(look.intervals)
    candidates = [
        _Layout.of(content, look.span, share, lay_out is transposed)
        for lay_out in (grid, transposed)
        for share in _TITLE_SHARES
        if (content := lay_out(table, style, stacked=stacked)).lines
    ]
    return min(candidates, key=lambda layout: layout.cost)


class _Layout(NamedTuple):
    """A grid whose titles are broken into lines and whose columns are divided into blocks."""

    content: Grid
    titles: list[list[str]]
    header: list[list[str]]
    blocks: list[slice]
    shared: Piece
    transposed: bool

    @classmethod
    def of(cls, content: Grid, span: Span, share: float, transposed: bool) -> _Layout:
        room = WIDTHS[span]
        titles = [_title_lines(line.title, share * room) for line in content.lines]
        title_width = max(_width(part) for lines in titles for part in lines)
        cells = [
            max((_width(_cell(line, index)) for line in content.lines), default=0.0)
            for index in range(len(content.header))
        ]
        most = room - title_width - _GAP
        header = [
            wrapped(text, SIZE, min(most, max(widest, _SHORTEST_HEADER)))
            for text, widest in zip(content.header, cells, strict=True)
        ]
        widths = [
            _GAP + max(widest, *(width(line, SIZE) for line in lines))
            for lines, widest in zip(header, cells, strict=True)
        ]
        shared = foot([content.shared] if content.shared else [], span)
        return cls(content, titles, header, blocks(widths, room - title_width), shared, transposed)

    @property
    def cost(self) -> Cost:
        """Fewer blocks are better, and of equally many, those with methods as columns."""
        return len(self.blocks), self.transposed

    def takes(self, notes: Piece) -> bool:
        """Whether notes can stand below the table: without another float, or as they are few."""
        return notes.lines <= _FEW_NOTES or len(self._parts(notes)) == len(self._parts(NOTHING))

    def pieces(self, notes: Piece) -> list[Piece]:
        """The blocks, each in as many parts as their lines need; the notes belong to the last one."""
        tabulars = [self._tabular(lines, columns) for lines in self._parts(notes) for columns in self.blocks]
        return [*tabulars[:-1], tabulars[-1].above(self.shared).above(notes)]

    def _parts(self, notes: Piece) -> list[range]:
        """The lines of each part, of about equal height; what belongs to the line above stays with it."""
        starts = [
            n for n, line in enumerate(self.content.lines) if n == 0 or not line.title.startswith(_BELOW)
        ]
        groups = [range(*ends) for ends in pairwise([*starts, len(self.content.lines)])]
        heights = [float(sum(len(self.titles[n]) for n in group)) for group in groups]
        heights[-1] += self.shared.lines + notes.lines
        head = _HEAD_LINES + max(map(len, self.header), default=1)
        found = blocks(heights, max(_MOST_LINES - head, _FEWEST_ROWS))
        return [range(groups[part][0].start, groups[part][-1].stop) for part in found]

    def _tabular(self, chosen: Iterable[int], columns: slice) -> Piece:
        header = self.header[columns]
        rows, lines = [], _HEAD_LINES + max(map(len, header), default=1)
        for index in chosen:
            cells = [_cell(self.content.lines[index], column) for column in range(len(self.header))[columns]]
            if any(cells):
                rows.append(" & ".join([_stack(self.titles[index], "t", "l"), *map(_marked, cells)]))
                lines += len(self.titles[index])
        head = " & ".join(["", *(_stack(texts, "b", "c") for texts in header)])
        return Piece(
            "\n".join(
                [
                    rf"\begin{{tabular}}{{@{{}}l{'c' * len(header)}@{{}}}}",
                    r"\toprule",
                    rf"{head} \\",
                    r"\midrule",
                    *(rf"{row} \\" for row in rows),
                    r"\bottomrule",
                    r"\end{tabular}\par\smallskip",
                ]
            ),
            lines,
        )


def _title_lines(text: str, limit: float) -> list[str]:
    """The lines of a title; those of a title below another are marked, each one."""
    if not text.startswith(_BELOW):
        return wrapped(text, SIZE, limit)
    return [f"{_BELOW}{line}" for line in wrapped(text[1:], SMALL * _SMALL, limit - _INDENT)]


def _cell(line: Line, column: int) -> str:
    return " ".join(line.cells[column]).strip()


def _width(text: str) -> float:
    """The width of a text with marks, in points."""
    if text.startswith(_BELOW):
        return _INDENT + width(text[1:], SMALL * _SMALL)
    total, size = 0.0, SIZE
    for part in re.split(f"([{_BOLD}{_MINOR}{_END}])", text):
        size = {_BOLD: BOLD * SIZE, _MINOR: SMALL * _SMALL, _END: SIZE}.get(part, size)
        total += 0.0 if part in (_BOLD, _MINOR, _END) else width(part, size)
    return total


_COMMANDS = {_BOLD: r"\textbf{", _MINOR: r"\adasisesmall{", _END: "}"}


def _marked(text: str) -> str:
    """A text with marks as LaTeX."""
    if text.startswith(_BELOW):
        return rf"\quad \adasisesmall{{{latex(text[1:])}}}"
    parts = re.split(f"([{_BOLD}{_MINOR}{_END}])", text)
    return "".join(_COMMANDS.get(part) or latex(part) for part in parts)


def _stack(lines: Sequence[str], place: str, side: str) -> str:
    """Lines below each other in one cell."""
    text = r" \\ ".join(map(_marked, lines))
    if len(lines) == 1:
        return text
    return rf"{{\begin{{tabular}}[{place}]{{@{{}}{side}@{{}}}}{text}\end{{tabular}}}}"
