"""Tables and paragraphs for a terminal, laid out by rich in plain letters.

There is no colour and no frame, so that ``grep`` and files can take them. Nothing is cut off: what does not
fit into the width goes on in the next line.
"""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Iterable, Sequence

from rich.box import Box
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from adasise_bench.utils.messages import printable

ENDLESS = 1_000_000
"""A width at which no line is broken."""

_FALLBACK, _NARROWEST = 100, 60
_RULE = Box("    \n    \n -  \n    \n    \n    \n    \n    \n", ascii=True)


def terminal_width() -> int | None:
    """Letters in a line of the terminal that the output goes to; ``None`` if that is a pipe or a file."""
    if not sys.stdout.isatty():
        return None
    return max(shutil.get_terminal_size((_FALLBACK, 0)).columns, _NARROWEST)


def text_table(
    sides: str, rows: Iterable[Sequence[object]], header: Sequence[str] = (), *, width: int | None = None
) -> str:
    """Rows as lines of text, with a rule below the header where there is one.

    Args:
        sides: a letter per column: ``l`` for text that begins at the left, ``r`` for numbers.
        rows: as many cells per row as there are columns; they are made printable.
        header: the titles of the columns.
        width: how long a line may be, in letters (an East Asian one counts twice); ``None`` for the
            terminal's width, and :data:`ENDLESS` in pipes and files.
    """
    table = Table(box=_RULE, show_header=bool(header), show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for side, title in zip(sides, header or sides, strict=True):
        table.add_column(_text(title), justify="right" if side == "r" else "left")
    for row in rows:
        table.add_row(*map(_text, row))
    return _plain(table, width or terminal_width() or ENDLESS)


def paragraph(text: str, width: int, indent: int = 2) -> str:
    """A text in lines of at most ``width`` letters, all but the first indented."""
    return _plain(Padding(_text(text), (0, 0, 0, indent)), width)[indent:]


def _text(cell: object) -> Text:
    return Text(printable(str(cell)), overflow="fold")


def _plain(content: RenderableType, width: int) -> str:
    """The lines that rich draws, whatever terminal and environment variables there are."""
    console = Console(
        file=io.StringIO(), width=width, height=1, color_system=None,
        force_terminal=False, force_jupyter=False, legacy_windows=False,
    )  # fmt: skip
    with console.capture() as drawn:
        console.print(content)
    return "\n".join(line.rstrip() for line in drawn.get().splitlines())
