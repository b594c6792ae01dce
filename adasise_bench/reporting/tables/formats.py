"""Renders tables for the terminal, Markdown, LaTeX, CSV and JSON."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields

from adasise_bench.reporting.tables import Cell, Table, Tables
from adasise_bench.reporting.tables.grid import (
    CHANCE_MARK,
    Grid,
    Line,
    Style,
    grid,
    legible,
    title,
    transposed,
)
from adasise_bench.utils.messages import csv_cell, json_text, latex, markdown, printable, terminal

WIDTH = 100
_LATEX_COLUMNS = 4
CSV_COLUMNS = (
    "table",
    "model",
    *(field.name for field in fields(Cell)),
    "excludes_zero",
    "exceeds_chance",
    "direction",
)


def render(tables: Tables, fmt: str, width: int = WIDTH) -> str:
    """The tables as text in one of :data:`FORMATS`, ending in a line break.

    Numbers are rounded in ``terminal``, ``md`` and ``latex``, and kept in full in ``csv`` and ``json``.
    Methods that do not fit beside each other become lines; ``width`` is the terminal's, in letters.
    """
    return _terminal(tables, width) if fmt == "terminal" else FORMATS[fmt](tables)


def footnotes(tables: Tables, best: str) -> list[str]:
    """What stands under the tables: what the marks mean, ``best`` being the best value's, then the notes."""
    legend = "; ".join(_legend(tables, best))
    sentence = f"{legend[:1].upper()}{legend[1:]}."
    return [sentence, *tables.notes] if legend else list(tables.notes)


def _legend(tables: Tables, best: str) -> Iterator[str]:
    """What the marks in these tables mean."""
    rows = [row for table in tables.tables for row in table.rows]
    cells = [cell for row in rows for cell in row.cells]
    if any(cell.best for cell in cells):
        yield f"{best} is the best measured value of its measure"
    if any(cell.exceeds_chance is False for cell in cells):
        yield f"{CHANCE_MARK} the interval does not exceed what one gets without looking at the picture"
    if any(row.direction for row in rows):
        yield "↑ higher is better, ↓ lower"
    if any(cell.low is not None for cell in cells):
        yield "[low, high] is the 95 % interval of the number that it stands with"
    if any(cell.published is not None for cell in cells):
        yield "lines named published quote the papers, all others are measured"
    if any(cell.excludes_zero for cell in cells):
        yield "better, worse: the interval of the difference excludes 0"
    if any(cell.measured is not None and cell.n != cell.of for cell in cells):
        yield "n=: pairs behind a number, where fewer or more than its method's Pairs or the n at its title"


_TERMINAL = Style(escape=printable, emphasise=lambda text: f"*{text}", subtitle=lambda text: f"  {text}")


def _terminal(tables: Tables, width: int = WIDTH) -> str:
    blocks = []
    for table in tables.tables:
        blocks += [printable(title(table)), *_terminal_table(table, width)]
    notes = footnotes(tables, "*")
    blocks.append("\n".join(textwrap.fill(note, width, subsequent_indent="  ") for note in notes))
    return terminal("\n\n".join(blocks)) + "\n"


def _terminal_table(table: Table, width: int) -> list[str]:
    """The table in the fewest blocks: intervals behind the numbers or below, methods as columns or lines."""
    grids = (
        lay_out(table, _TERMINAL, stacked=stacked)
        for lay_out in (grid, transposed)
        for stacked in (False, True)
    )
    layouts = [(_blocks(content, width), content.shared) for content in grids]
    blocks, shared = min(layouts, key=lambda layout: len(layout[0]))
    below = [textwrap.fill(shared, width, subsequent_indent="  ")] if shared else []
    return [*map(_beside, blocks), *below]


def _blocks(content: Grid, width: int) -> list[list[list[str]]]:
    """The columns in as many blocks as the width takes, each with the titles of the lines."""
    titles = ["", *(line.title for line in content.lines)]
    blocks = [[titles]]
    for index, name in enumerate(content.header):
        column = _column(name, content.lines, index)
        if len(blocks[-1]) > 1 and sum(map(_width, [*blocks[-1], column])) + 2 * len(blocks[-1]) > width:
            blocks.append([titles])
        blocks[-1].append(column)
    return blocks


def _column(name: str, text: Sequence[Line], index: int) -> list[str]:
    cells = [line.cells[index] for line in text]
    width = max(len(figure) for figure, _ in cells)
    return [name.rjust(width), *(f"{figure:>{width}} {rest}".rstrip() for figure, rest in cells)]


def _width(column: Sequence[str]) -> int:
    return max(map(len, column))


def _beside(columns: Sequence[Sequence[str]]) -> str:
    ruled = [[column[0], "-" * _width(column), *column[1:]] for column in columns]
    padded = [[text.ljust(_width(column)) for text in column] for column in ruled]
    lines = (line for line in zip(*padded, strict=True) if any(text.strip() for text in line[1:]))
    return "\n".join("  ".join(line).rstrip() for line in lines)


def _markdown(tables: Tables) -> str:
    blocks = []
    for table in tables.tables:
        content = legible(table, _MARKDOWN, stacked=False)
        rows = [["", *content.header], *_joined(content.lines)]
        first, *rest = (f"| {' | '.join(row)} |" for row in rows)
        text = "\n".join([first, f"|{':--|' * len(rows[0])}", *rest])
        shared = f"\n\n{content.shared}" if content.shared else ""
        blocks.append(f"### {markdown(title(table))}\n\n{text}{shared}")
    blocks.append("\n".join(f"- {markdown(note)}" for note in footnotes(tables, "bold")))
    return "\n\n".join(blocks) + "\n"


def _joined(text: Iterable[Line]) -> list[list[str]]:
    return [[line.title, *(" ".join(cell).strip() for cell in line.cells)] for line in text]


_MARKDOWN = Style(
    escape=markdown,
    emphasise=lambda text: f"**{text}**",
    subtitle=lambda text: f"*{text}*",
)


def _latex(tables: Tables) -> str:
    blocks = [_latex_table(table) for table in tables.tables]
    notes = (latex(note) for note in footnotes(tables, "bold"))
    blocks.append("\n".join(rf"\par\noindent{{\footnotesize {note}}}" for note in notes))
    return "\n\n".join(blocks) + "\n"


def _latex_table(table: Table) -> str:
    """The table in parts that fit a page's width, each with the titles of the lines."""
    content = legible(table, _LATEX, stacked=True, most=_LATEX_COLUMNS)
    rows = [["", *content.header], *_joined(content.lines)]
    parts: list[str] = []
    for start in range(1, len(rows[0]), _LATEX_COLUMNS):
        part = [[row[0], *row[start : start + _LATEX_COLUMNS]] for row in rows]
        shared = content.shared if start + _LATEX_COLUMNS >= len(rows[0]) else ""
        parts.append(_latex_part(title(table) + (" (continued)" if parts else ""), part, shared))
    return "\n\n".join(parts)


def _latex_part(heading: str, rows: Sequence[Sequence[str]], shared: str) -> str:
    first, *rest = (" & ".join(row) + r" \\" for row in rows if any(text.strip() for text in row[1:]))
    text = [
        r"\par\medskip\noindent\begin{minipage}{\linewidth}",
        rf"\textbf{{{latex(heading)}}}\par\smallskip",
        r"\small\setlength{\tabcolsep}{3pt}%",
        rf"\begin{{tabular}}{{@{{}}l{'c' * (len(rows[0]) - 1)}@{{}}}}",
        r"\toprule",
        first,
        r"\midrule",
        *rest,
        r"\bottomrule",
        r"\end{tabular}",
        *([rf"\par\smallskip{{\footnotesize {shared}}}"] if shared else []),
        r"\end{minipage}\par\medskip",
    ]
    return "\n".join(text)


_LATEX = Style(
    escape=latex,
    emphasise=lambda text: rf"\textbf{{{text}}}",
    subtitle=lambda text: rf"\quad {{\scriptsize {text}}}",
    minor=lambda text: rf"{{\scriptsize {text}}}",
    figure=lambda text: text.replace("-", "$-$"),
)


def _csv(tables: Tables) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, lineterminator="\n")
    writer.writeheader()
    for table in tables.tables:
        for row in table.rows:
            place = {"table": table.name, "model": table.model, "direction": row.direction}
            writer.writerows(_csv_row(place | _with_words(cell)) for cell in row.cells)
    return text.getvalue()


def _csv_row(values: dict[str, object]) -> dict[str, object]:
    return {key: csv_cell(value) if isinstance(value, str) else value for key, value in values.items()}


def _with_words(cell: Cell) -> dict[str, object]:
    """A cell's attributes, truth values in lower case."""
    values = asdict(cell) | {"excludes_zero": cell.excludes_zero, "exceeds_chance": cell.exceeds_chance}
    return {key: str(value).lower() if isinstance(value, bool) else value for key, value in values.items()}


def _json(tables: Tables) -> str:
    tree = asdict(tables)
    for table, built in zip(tree["tables"], tables.tables, strict=True):
        for row, made in zip(table["rows"], built.rows, strict=True):
            for cell, source in zip(row["cells"], made.cells, strict=True):
                cell["excludes_zero"] = source.excludes_zero
                cell["exceeds_chance"] = source.exceeds_chance
    return json_text(tree) + "\n"


FORMATS: Mapping[str, Callable[[Tables], str]] = {
    "terminal": _terminal,
    "md": _markdown,
    "latex": _latex,
    "csv": _csv,
    "json": _json,
}
"""The renderers by the name of their format."""
