"""The papers' figures redrawn from measurements: one module per figure, each with a pure ``draw``."""

from adasise_bench.reporting.figures.saving import save, to_svg

__all__ = ["save", "to_svg"]
