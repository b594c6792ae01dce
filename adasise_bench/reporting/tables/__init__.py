"""The tables of a run, built without regard to an output format, and then rendered in one."""

from adasise_bench.reporting.tables.breakdown import SIZES, Grouping
from adasise_bench.reporting.tables.build import build_tables, tables_by_network, usual_metrics
from adasise_bench.reporting.tables.model import Cell, Row, Table, Tables, counted_pairs, number, title_of
from adasise_bench.reporting.tables.setting_notes import caveats, control_labels, usual_order

__all__ = [
    "SIZES",
    "Cell",
    "Grouping",
    "Row",
    "Table",
    "Tables",
    "build_tables",
    "caveats",
    "control_labels",
    "counted_pairs",
    "number",
    "tables_by_network",
    "title_of",
    "usual_metrics",
    "usual_order",
]
