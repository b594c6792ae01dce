"""The papers' figures that a report's runs have values for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from adasise_bench.records.run import Run
from adasise_bench.reporting.figures import kept_maps, mu_ablation, phases, to_svg
from adasise_bench.reporting.tables import title_of
from adasise_bench.utils.errors import DataError

_FIGURES = {
    "Run-time by phase": phases.draw,
    "Feature maps kept per block": kept_maps.draw,
    "Metrics against mu": mu_ablation.draw,
}


class Drawing(NamedTuple):
    """A figure as SVG text, with its title."""

    title: str
    svg: str


def drawings_of(runs: Sequence[Run], models: Sequence[str]) -> list[Drawing]:
    """Every figure of every model that the runs have the values for."""
    drawings = []
    for model in models:
        for title, draw in _FIGURES.items():
            try:
                figure = draw(runs, model)
            except DataError:
                continue
            drawings.append(Drawing(f"{title}, {title_of(model)}", to_svg(figure)))
    return drawings
