r"""Lays tables out for LaTeX, so that they fit into a column or a page of any usual document class.

The letters have a fixed size. How wide a column becomes is therefore known before LaTeX runs, and methods
that do not fit beside each other go into another block, become lines, or go into another float. The document
needs ``\usepackage{booktabs}``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from adasise_bench.reporting.tables import Table
from adasise_bench.reporting.tables.blocks import blocks
from adasise_bench.reporting.tables.grid import Grid, Line, Style, deviation_line, grid, title, transposed
from adasise_bench.reporting.tables.letter_widths import BOLD, SMALL, width, wrapped
from adasise_bench.reporting.tables.look import Intervals, Look, Span
from adasise_bench.utils.messages import latex, printable

WIDTHS: Mapping[Span, float] = {"column": 221.0, "page": 345.0}
"""Points. The column of ``article`` in two columns on A4 paper, and the text of ``article`` in one column:
the narrowest of the usual classes. IEEE's and CVPR's columns have 252 and 237 points."""

_ENVIRONMENTS: Mapping[Span, str] = {"column": "table", "page": "table*"}

_SIZE, _SMALL = 8.0, 7.0
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


class _Piece(NamedTuple):
    """Something that stands in a float as a whole, and about how many lines it takes."""

    text: str
    lines: int


def latex_tables(tables: Sequence[Table], notes: Sequence[str], more: str, look: Look) -> str:
    """The tables as floats with captions and labels; the notes stand in the last float.

    Args:
        tables: what to lay out.
        notes: as plain text.
        more: says that there are more notes; a comment, for it is not meant for the paper's readers.
        look: ``span`` and ``intervals`` are used.
    """
    seen: Counter[str] = Counter()
    floats = []
    foot = [_note(note, look.span) for note in notes]
    for number, table in enumerate(tables, 1):
        label = _label(table, seen)
        pieces = [*_pieces(table, look), *(foot if number == len(tables) else [])]
        for part, group in enumerate(_packed(pieces)):
            floats.append(_float(group, table, label, part, look.span))
    return "\n\n".join([PREAMBLE, *floats, *([f"% {latex(more)}"] if more else [])]) + "\n"


def _label(table: Table, seen: Counter[str]) -> str:
    name = re.sub(r"[^A-Za-z0-9]+", "-", f"{table.name}-{table.model}").strip("-").lower()
    seen[name] += 1
    return name if seen[name] == 1 else f"{name}-{seen[name]}"


def _float(group: Sequence[_Piece], table: Table, label: str, part: int, span: Span) -> str:
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
            rf"\fontsize{{{_SIZE:g}}}{{{_SIZE + 1.5:g}}}\selectfont",
            rf"\setlength{{\tabcolsep}}{{{_SEPARATION:g}pt}}",
            *(piece.text for piece in group),
            rf"\end{{{environment}}}",
        ]
    )


def _packed(pieces: Iterable[_Piece]) -> list[list[_Piece]]:
    """The pieces in as few floats as hold them, in their order."""
    floats: list[list[_Piece]] = [[]]
    for piece in pieces:
        if floats[-1] and sum(one.lines for one in floats[-1]) + piece.lines > _MOST_LINES:
            floats.append([])
        floats[-1].append(piece)
    return floats


def _note(text: str, span: Span) -> _Piece:
    """A footnote; a word that is too long for a line may be broken."""
    lines = wrapped(text, _SIZE, WIDTHS[span])
    words = (
        r"\allowbreak{}".join(map(latex, wrapped(word, _SIZE, WIDTHS[span] / 3))) for word in text.split(" ")
    )
    return _Piece(rf"\par\smallskip{{\raggedright {' '.join(words)}\par}}", len(lines) + 1)


def _pieces(table: Table, look: Look) -> Iterator[_Piece]:
    """The table in the fewest blocks: methods as columns or lines, intervals behind or below the numbers."""
    style = _style(look.intervals)
    stacked = (True,) if look.intervals == "brackets" else (False, True)
    candidates = [
        _Layout.of(content, WIDTHS[look.span], share)
        for lay_out in (grid, transposed)
        for below in stacked
        for share in _TITLE_SHARES
        if (content := lay_out(table, style, stacked=below)).lines
    ]
    chosen = min(candidates, key=lambda layout: len(layout.blocks))
    yield from chosen.pieces()
    if chosen.content.shared:
        yield _note(chosen.content.shared, look.span)


class _Layout(NamedTuple):
    """A grid whose titles are broken into lines and whose columns are divided into blocks."""

    content: Grid
    titles: list[list[str]]
    header: list[list[str]]
    blocks: list[slice]

    @classmethod
    def of(cls, content: Grid, room: float, share: float) -> _Layout:
        titles = [_title_lines(line.title, share * room) for line in content.lines]
        title_width = max(_width(part) for lines in titles for part in lines)
        cells = [
            max((_width(_cell(line, index)) for line in content.lines), default=0.0)
            for index in range(len(content.header))
        ]
        most = room - title_width - _GAP
        header = [
            wrapped(text, _SIZE, min(most, max(widest, _SHORTEST_HEADER)))
            for text, widest in zip(content.header, cells, strict=True)
        ]
        widths = [
            _GAP + max(widest, *(width(line, _SIZE) for line in lines))
            for lines, widest in zip(header, cells, strict=True)
        ]
        return cls(content, titles, header, blocks(widths, room - title_width))

    def pieces(self) -> Iterator[_Piece]:
        """The blocks, each in as many parts as their lines need."""
        for start, end in _chunks(self.content.lines, [len(texts) for texts in self.titles]):
            for columns in self.blocks:
                yield self._tabular(range(start, end), columns)

    def _tabular(self, chosen: Iterable[int], columns: slice) -> _Piece:
        header = self.header[columns]
        rows, lines = [], _HEAD_LINES + max(map(len, header), default=1)
        for index in chosen:
            cells = [_cell(self.content.lines[index], column) for column in range(len(self.header))[columns]]
            if any(cells):
                rows.append(" & ".join([_stack(self.titles[index], "t", "l"), *map(_marked, cells)]))
                lines += len(self.titles[index])
        head = " & ".join(["", *(_stack(texts, "b", "c") for texts in header)])
        return _Piece(
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


def _chunks(lines: Sequence[Line], heights: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where the parts of a tall table begin and end; what belongs to the line above stays with it."""
    start, used = 0, 0
    last = 0
    for index, (line, height) in enumerate(zip(lines, heights, strict=True)):
        if not line.title.startswith(_BELOW):
            last = index
        if used + height > _MOST_LINES - 2 * _HEAD_LINES and last > start:
            yield start, last
            used = sum(heights[last:index])
            start = last
        used += height
    yield start, len(lines)


def _title_lines(text: str, limit: float) -> list[str]:
    """The lines of a title; those of a title below another are marked, each one."""
    if not text.startswith(_BELOW):
        return wrapped(text, _SIZE, limit)
    return [f"{_BELOW}{line}" for line in wrapped(text[1:], SMALL * _SMALL, limit - _INDENT)]


def _cell(line: Line, column: int) -> str:
    return " ".join(line.cells[column]).strip()


def _width(text: str) -> float:
    """The width of a text with marks, in points."""
    if text.startswith(_BELOW):
        return _INDENT + width(text[1:], SMALL * _SMALL)
    total, size = 0.0, _SIZE
    for part in re.split(f"([{_BOLD}{_MINOR}{_END}])", text):
        size = {_BOLD: BOLD * _SIZE, _MINOR: SMALL * _SMALL, _END: _SIZE}.get(part, size)
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
