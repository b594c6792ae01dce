"""What can be a row of Table 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from adasise_bench.reporting.statistics import Average
from adasise_bench.reporting.tables.model import Direction, Unit
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.settings import suggest


class Measure(NamedTuple):
    """A row of Table 1.

    Attributes:
        title: as printed.
        direction: which values are better.
        unit: of its numbers.
        column: of the records that it is taken from.
        quantile: share of the values that lie below it; ``None`` for the mean.
        average: over all pairs, or over the means of the classes.
    """

    title: str
    direction: Direction | None
    unit: Unit
    column: str
    quantile: float | None = None
    average: Average = "pairs"


MEASURES = {
    "ebpg": Measure("EBPG, %", "up", "percent", "ebpg"),
    "bbox": Measure("Bbox, %", "up", "percent", "bbox"),
    "drop": Measure("Drop, %", "down", "percent", "drop"),
    "increase": Measure("Increase, %", "up", "percent", "increase"),
    "miou": Measure("mIoU, %", "up", "percent", "miou"),
    "pointing": Measure("Pointing, %", "up", "percent", "pointing", average="classes"),
    "pointing_difficult": Measure(
        "Pointing, difficult, %", "up", "percent", "pointing_difficult", average="classes"
    ),
    "average_gain": Measure("Average gain, %", "up", "percent", "average_gain"),
    "insertion": Measure("Insertion, %", "up", "percent", "insertion"),
    "deletion": Measure("Deletion, %", "down", "percent", "deletion"),
    "head_sensitivity": Measure("Randomised head, correlation", "down", "correlation", "head_sensitivity"),
    "seconds": Measure("Run-time, s", "down", "seconds", "seconds"),
    "seconds_median": Measure("Run-time, median, s", "down", "seconds", "seconds", 0.5),
    "seconds_p90": Measure("Run-time, p90, s", "down", "seconds", "seconds", 0.9),
    "forwards": Measure("Forward passes", "down", "inputs", "forwards"),
    "peak_memory": Measure("Peak memory, MB", "down", "megabytes", "peak_memory_mb"),
}
DEFAULT_METRICS = ("ebpg", "bbox", "drop", "increase", "miou", "seconds")


def named_measures(names: Sequence[str]) -> dict[str, Measure]:
    """The measures of these names, in this order.

    Raises:
        ConfigError: a name is unknown.
    """
    for name in names:
        if name not in MEASURES:
            raise ConfigError(f"no metric {name!r}{suggest(name, MEASURES)}")
    return {name: MEASURES[name] for name in names}
