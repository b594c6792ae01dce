"""Pictures side by side under titles, with small print below."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from PIL import Image

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_AREA = 9.0
_LEAST, _MOST = 1.8, 7.0
_WIDE = 2.2
_MARGIN, _GAP = 0.15, 0.12
_TITLE_POINTS, _PRINT_POINTS = 9.0, 6.5
_LINE = 1.3 / 72
_LETTER = 0.6 / 72
"""Height and width of one letter, in inches per point."""


class Panel(NamedTuple):
    """A picture and what stands above it."""

    title: str
    picture: Image.Image


def side_by_side(rows: Sequence[Sequence[Panel]], small_print: str) -> Figure:
    """Lay out rows of panels in inches, so that neither pictures nor text are clipped.

    Args:
        rows: panels from left to right, rows from top to bottom; all pictures have one aspect ratio.
            Wide pictures are placed one below the other.
        small_print: lines below everything, wrapped to the width.
    """
    from matplotlib.figure import Figure

    picture = rows[0][0].picture
    aspect = picture.width / picture.height
    if aspect > _WIDE:
        rows = [[panel] for row in rows for panel in row]
    width = min(max((_AREA * aspect) ** 0.5, _LEAST), _MOST)
    height = min(width / aspect, _MOST)
    columns = max(map(len, rows))
    total_width = 2 * _MARGIN + columns * width + (columns - 1) * _GAP
    titles = [[_wrapped(panel.title, width, _TITLE_POINTS) for panel in row] for row in rows]
    above = [max(title.count("\n") + 1 for title in row) * _TITLE_POINTS * _LINE + 0.06 for row in titles]
    footer = _wrapped(small_print, total_width - 2 * _MARGIN, _PRINT_POINTS)
    below = (footer.count("\n") + 1) * _PRINT_POINTS * _LINE
    total_height = 2 * _MARGIN + sum(above) + len(rows) * (height + _GAP) + below
    figure = Figure(figsize=(total_width, total_height), dpi=200, facecolor="white")
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
                (left + width / 2) / total_width, (top + 0.05) / total_height, titles[row_number][column],
                ha="center", va="bottom", size=_TITLE_POINTS, linespacing=1.15, parse_math=False,
            )  # fmt: skip
    figure.text(
        _MARGIN / total_width, _MARGIN / total_height, footer,
        ha="left", va="bottom", size=_PRINT_POINTS, color="0.35", linespacing=1.15, parse_math=False,
    )  # fmt: skip
    return figure


def _wrapped(text: str, width: float, points: float) -> str:
    letters = max(8, int(width / (points * _LETTER)))
    return "\n".join(textwrap.fill(line, letters) for line in text.splitlines())
