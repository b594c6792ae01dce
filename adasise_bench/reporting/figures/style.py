"""The look of all figures: one paper column wide, and legible at that width in colour and in grey.

The colours are those of Okabe and Ito (Color Universal Design, 2008), which people with any colour vision
can tell apart, with grey for black, on which hatches could not be seen. Hatches, markers and dashes do the
same without colour. Nothing here depends on the user's settings of matplotlib, and these stay unchanged.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from matplotlib import style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from adasise_bench.reporting.tables import title_of

COLUMN = 3.3
"""Inches of one column of a two-column paper."""

TWO_COLUMNS = 6.9

Layout = Literal["constrained", "compressed"]

_POINTS = 7.0

_MOST_LETTERS = 25
"""Letters that can stand on an inch of a line, if all are narrow."""

_DECADE_MARGIN = 1.2
"""A value within this factor of the end of a decade opens the next one, so that its marker is not cut."""

_SETTINGS: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": _POINTS,
    **dict.fromkeys(
        ("axes.titlesize", "axes.labelsize", "xtick.labelsize", "ytick.labelsize", "legend.fontsize"), _POINTS
    ),
    **dict.fromkeys(("axes.linewidth", "xtick.major.width", "ytick.major.width", "patch.linewidth"), 0.6),
    **dict.fromkeys(("xtick.major.size", "ytick.major.size"), 2.5),
    **dict.fromkeys(("xtick.minor.size", "ytick.minor.size"), 1.5),
    "axes.titlepad": 3,
    "axes.labelpad": 2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.color": "0.85",
    "lines.linewidth": 1.1,
    "lines.markersize": 4.5,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "legend.handlelength": 2.2,
    "legend.columnspacing": 1.2,
    "legend.borderaxespad": 0,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "pdf.fonttype": 42,
    "savefig.dpi": 300,
    "svg.fonttype": "path",
    "svg.hashsalt": "adasise-bench",
    "text.parse_math": False,  # because names may contain dollar signs
}

styled = style.context(dict(_SETTINGS), after_reset=True)
"""Decorator of functions that make or save a figure; they run with this module's settings of matplotlib."""


class Look(NamedTuple):
    """How one method or phase is drawn, so that it differs from the others."""

    color: str
    hatch: str
    marker: str
    dashes: Any


LOOKS = (
    Look("#0072B2", "", "o", "-"),
    Look("#E69F00", "////", "s", "--"),
    Look("#009E73", "....", "^", ":"),
    Look("#CC79A7", "xxxx", "v", "-."),
    Look("#56B4E9", "\\\\\\\\", "P", (0, (9, 1.5))),
    Look("#D55E00", "----", "X", (0, (3, 1, 1, 1, 1, 1))),
    Look("#777777", "oooo", ">", (0, (1, 3))),
    Look("#F0E442", "++++", "<", (0, (6, 1, 1, 1, 1, 1, 1, 1))),
)

PUBLISHED: Mapping[str, Any] = {
    "marker": "D",
    "markerfacecolor": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.8,
}
"""Markers of the numbers that the paper prints."""


def look(position: int) -> Look:
    """The look of the n-th of several things; after the last, colours return with other signs."""
    around, place = divmod(position, len(LOOKS))
    return LOOKS[(place + around) % len(LOOKS)]._replace(color=LOOKS[place].color)


def blank(height: float, width: float = COLUMN, layout: Layout = "constrained") -> Figure:
    """An empty figure of this height and width in inches; a legend and a note make it higher."""
    return Figure(figsize=(width, height), layout=layout)


def named(label: str, letters: int = 20) -> str:
    """The papers' name of a method, or its label, in lines of at most this many letters."""
    return in_lines(title_of(label), letters)


class _Wrapper(textwrap.TextWrapper):
    """Lines end at spaces, or else behind a sign that joins the words of a label."""

    wordsep_re = re.compile(r"(\s+|[^\s_/-]*[_/-]+)")


def in_lines(text: str, letters: int) -> str:
    """A text in lines of at most this many letters; its own lines stay lines.

    Example:
        >>> from adasise_bench.reporting.figures.style import in_lines
        >>> in_lines("sise_with_a_long_label", 16)
        'sise_with_a_\\nlong_label'
    """
    return "\n".join(_Wrapper(letters).fill(line) for line in text.splitlines())


def logarithmic(axes: Axes, direction: Literal["x", "y"], values: Iterable[float]) -> None:
    """Make an axis logarithmic, over whole decades that hold all values, with plain numbers at the ticks.

    Args:
        axes: where.
        direction: which of its two axes.
        values: what it shows. Values that are not positive have no place on it.
    """
    positive = [value for value in values if value > 0] or [1.0]
    low, high = (math.log10(end) for end in (min(positive) / _DECADE_MARGIN, max(positive) * _DECADE_MARGIN))
    axes.set(
        **{f"{direction}scale": "log", f"{direction}lim": (10 ** math.floor(low), 10 ** math.ceil(high))}
    )
    axis = axes.xaxis if direction == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=6))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def legend_above(figure: Figure) -> None:
    """Put one legend above all axes, which names everything once: bars first, then lines and markers."""
    handles = {
        label: handle
        for axes in figure.axes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    labels = sorted(handles, key=lambda label: isinstance(handles[label], Line2D))
    named_handles(figure, [handles[label] for label in labels], labels)


def named_handles(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    """Put a legend above all axes, in as many columns as fit, but at most three; it reads line by line."""
    for columns in range(min(3, len(labels)), 0, -1):
        order = [place for column in range(columns) for place in range(column, len(labels), columns)]
        legend = figure.legend(
            [handles[place] for place in order],
            [labels[place] for place in order],
            loc="outside upper center",
            ncols=columns,
        )
        extent = legend.get_window_extent()
        if extent.width <= 0.97 * figure.bbox.width or columns == 1:
            _heighten(figure, _room(figure, legend))
            return
        legend.remove()


def note(figure: Figure, text: str) -> None:
    """Write what a reader must know at the foot of a figure, in lines that fit.

    A figure has one note. :func:`note_of` reads it, and :func:`drop_note` takes it away again.
    """
    label = figure.supxlabel("", x=0.01, ha="left", fontsize=_POINTS, color="0.25", parse_math=False)
    fill(figure, label, text, 0.97 * figure.bbox.width)
    _heighten(figure, _room(figure, label))


def fill(figure: Figure, label: Text, text: str, width: float) -> None:
    """Give a figure's label a text, in lines of at most this width in pixels."""
    for letters in range(int(_MOST_LETTERS * width / figure.dpi), 10, -1):
        label.set_text(textwrap.fill(text, letters, break_on_hyphens=False))
        if label.get_window_extent().width <= width:
            return


def note_of(figure: Figure) -> str:
    """The text of :func:`note` on one line; empty if the figure has none."""
    return " ".join(figure.get_supxlabel().split())


def drop_note(figure: Figure) -> None:
    """Take away what :func:`note` wrote, and the height that it added."""
    label = figure.supxlabel(figure.get_supxlabel(), x=0.01, ha="left", fontsize=_POINTS, parse_math=False)
    _heighten(figure, -_room(figure, label))
    label.set_text("")


def _room(figure: Figure, text: Artist) -> float:
    """Inches that a legend or a note adds to a figure's height."""
    return float(text.get_window_extent().height) / figure.dpi + 0.05


def _heighten(figure: Figure, inches: float) -> None:
    figure.set_figheight(figure.get_figheight() + inches)
