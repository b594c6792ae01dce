"""Pictures side by side under titles, with small print below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from PIL import Image

from adasise_bench.reporting.figures.style import fill, in_lines, styled

_PAGE = 6.9
"""Inches of a page's text width. More panels than fit beside each other go to the next line."""

_NARROWEST, _LOWEST, _HIGHEST = 1.25, 0.9, 4.0
"""Inches: the least width of a panel, the least height of a picture with others beside it, and the most."""

_MARGIN, _GAP = 0.06, 0.08
_POINTS = 7.0
_LINE = 1.3 / 72
_LETTER = 0.6 / 72
"""Height of a line and width of a letter, in inches per point."""

_DESCENT = 0.25
"""How far letters reach below their line, as a share of its height."""

_DPI, _MOST_DOTS = 300, 60_000
"""Dots per inch, and of the height of the whole picture, of which matplotlib can draw 65536."""


class Panel(NamedTuple):
    """A picture and what stands above it."""

    title: str
    picture: Image.Image


@styled
def side_by_side(rows: Sequence[Sequence[Panel]], small_print: str) -> Figure:
    """Lay out rows of panels in inches, so that neither pictures nor text are clipped.

    The result is at most as wide as a page's text, and its letters have 7 points, so that it can be printed
    as it is.

    Args:
        rows: panels from left to right, rows from top to bottom; all pictures have one aspect ratio.
            A row with more panels than fit goes on in the next line.
        small_print: stands below everything, in lines as long as the whole is wide; empty for none.
    """
    picture = rows[0][0].picture
    aspect = picture.width / picture.height
    rows = _wrapped_rows(rows, aspect)
    columns = max(map(len, rows))
    room = (_PAGE - 2 * _MARGIN - (columns - 1) * _GAP) / columns
    width = min(room, max(_NARROWEST, _HIGHEST * aspect))
    height = min(width / aspect, _HIGHEST)
    total_width = 2 * _MARGIN + columns * width + (columns - 1) * _GAP
    letters = int(width / (_POINTS * _LETTER))
    titles = [[in_lines(panel.title, letters) for panel in row] for row in rows]
    above = [max(title.count("\n") + 1 for title in row) * _POINTS * _LINE + 0.04 for row in titles]
    footer = _lines(small_print, total_width - 2 * _MARGIN)
    below = len(footer) * _POINTS * _LINE
    total_height = 2 * _MARGIN + sum(above) + len(rows) * (height + _GAP) + below
    dpi = min(_DPI, _MOST_DOTS / total_height)
    figure = Figure(figsize=(total_width, total_height), dpi=dpi, facecolor="white")
    for row_number, row in enumerate(rows):
        top = total_height - _MARGIN - sum(above[: row_number + 1]) - row_number * (height + _GAP)
        for column, panel in enumerate(row):
            left = _MARGIN + column * (width + _GAP)
            axes = figure.add_axes(
                (
                    left / total_width,
                    (top - height) / total_height,
                    width / total_width,
                    height / total_height,
                )
            )
            axes.set_axis_off()
            axes.imshow(panel.picture)
            figure.text(
                (left + width / 2) / total_width, (top + 0.04) / total_height, titles[row_number][column],
                ha="center", va="bottom", size=_POINTS, linespacing=1.15, parse_math=False,
            )  # fmt: skip
    for number, line in enumerate(footer, 1):
        bottom = _MARGIN + (len(footer) - number + _DESCENT) * _POINTS * _LINE
        figure.text(
            _MARGIN / total_width, bottom / total_height, line,
            ha="left", va="baseline", size=_POINTS, color="0.25", parse_math=False,
        )  # fmt: skip
    return figure


def _wrapped_rows(rows: Sequence[Sequence[Panel]], aspect: float) -> list[Sequence[Panel]]:
    """The rows in lines of panels that fit on a page; the lines of one row are about equally long."""
    most = max(1, int(_PAGE / max(_NARROWEST + _GAP, _LOWEST * aspect + _GAP)))
    longest = max(map(len, rows))
    lines = -(-longest // most)
    columns = -(-longest // lines)
    return [row[start : start + columns] for row in rows for start in range(0, len(row), columns)]


def _lines(text: str, width: float) -> list[str]:
    """A text in lines of at most this width in inches.

    They are drawn one by one, because matplotlib sets the lines of one text unevenly: a line without letters
    that reach below it stands nearer to the next.
    """
    figure = Figure(figsize=(width, 1), dpi=_DPI)
    label = figure.text(0, 0, "", size=_POINTS, parse_math=False)
    fill(figure, label, text, width * _DPI)
    return label.get_text().splitlines()
