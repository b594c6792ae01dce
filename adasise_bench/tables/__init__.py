"""The tables that a run ends in, free of any output format."""

from adasise_bench.tables.breakdown import SIZES, Grouping
from adasise_bench.tables.build import build_tables, usual_metrics
from adasise_bench.tables.measures import DEFAULT_METRICS, MEASURES
from adasise_bench.tables.model import Cell, Direction, Row, Table, Tables, Unit, number, title_of
from adasise_bench.tables.notes import baseline_labels, caveats
from adasise_bench.tables.scores import in_paper_order

__all__ = [
    "DEFAULT_METRICS",
    "MEASURES",
    "SIZES",
    "Cell",
    "Direction",
    "Grouping",
    "Row",
    "Table",
    "Tables",
    "Unit",
    "baseline_labels",
    "build_tables",
    "caveats",
    "in_paper_order",
    "number",
    "title_of",
    "usual_metrics",
]
