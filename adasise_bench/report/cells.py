"""A number of a table as the report prints it."""

from __future__ import annotations

from typing import NamedTuple

from adasise_bench.tables import Cell, Unit, number


class CellText(NamedTuple):
    """The parts of a cell; ``None`` where there is nothing to say."""

    measured: str
    published: str | None
    n: int | None
    best: bool


def cell_text(cell: Cell, unit: Unit) -> CellText:
    """A cell's numbers, rounded as in the other formats; ``n`` only where values are missing."""
    return CellText(
        measured="-" if cell.measured is None else number(cell.measured, unit),
        published=None if cell.published is None else number(cell.published, unit),
        n=cell.n if cell.measured is not None and cell.n != cell.of else None,
        best=cell.best,
    )
