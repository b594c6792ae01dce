"""What a table is made of, before it is rendered."""

from __future__ import annotations

from dataclasses import dataclass, field

from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import Direction, Unit
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.utils.messages import printable


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        method: label of the method; ``None`` if the number belongs to the network.
        metric: name of what was measured.
        measured: the mean, quantile or count; ``None`` if there are no values.
        n: number of pairs from which ``measured`` was computed; ``None`` if it is not a statistic.
        of: number of pairs that there should be.
        published: the paper's number.
        best: whether this is the best measured value of its row, as printed.
        low, high: ends of the 95 % interval of ``measured``; ``None`` if there is none.
        images: number of images that the pairs come from; ``None`` if it was not counted.
        against: label of the method whose values were subtracted; ``None`` if none were.
        group: class, object size, range of scores or outcome that the pairs belong to; ``None`` for all.
        chance: what one gets on the same pairs without looking at the picture; ``None`` if it is not known.
        excludes_zero: whether a difference's interval lies on one side of 0; ``None`` where there is no such
            interval.
        exceeds_chance: whether the whole interval lies above ``chance``; ``None`` if there is no such
            interval or level.
    """

    method: str | None
    metric: str
    measured: float | None
    n: int | None
    of: int | None
    published: float | None = None
    best: bool = False
    low: float | None = None
    high: float | None = None
    images: int | None = None
    against: str | None = None
    group: str | None = None
    chance: float | None = None

    excludes_zero: bool | None = field(init=False, default=None)
    exceeds_chance: bool | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        """Compare a difference's interval with 0, and any other with chance."""
        if self.against is not None and self.low is not None and self.high is not None:
            object.__setattr__(self, "excludes_zero", self.low > 0 or self.high < 0)  # the class is frozen
        if self.chance is not None and self.low is not None:
            object.__setattr__(self, "exceeds_chance", self.low > self.chance)


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        title: what is measured.
        direction: which values are better; ``None`` if none are.
        unit: of the numbers.
        cells: one for each column.
        unmarked: why none of the values is marked as the best; empty if one is, or if all are printed alike.
    """

    title: str
    direction: Direction | None
    unit: Unit
    cells: tuple[Cell, ...]
    unmarked: str = ""


@dataclass(frozen=True)
class Table:
    """One table for one network.

    Attributes:
        name: what kind of table it is.
        model: the network.
        title: for the reader.
        columns: the labels of the methods, or other titles.
        rows: the lines.
        deviations: the settings of the measured numbers that are not the protocol's, where published numbers
            stand beside them.
    """

    name: str
    model: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    deviations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tables:
    """All tables of some runs, and the notes under them."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def number(value: float, unit: Unit) -> str:
    """A number as it is printed: percentages have 2 decimals, seconds below 1 have 2 significant digits.

    Nats have 2 decimals as well, and correlations have 3.
    """
    if isinstance(value, int):
        return str(value)
    if unit == "seconds" and abs(value) < 1:
        return f"{value:#.2g}"
    if unit == "correlation":
        return f"{value:.3f}"
    return f"{value:.2f}" if unit in ("percent", "seconds", "nats") else f"{value:.1f}"


def title_of(name: str) -> str:
    """The name that the papers give a model or method; without one, the label itself.

    A label that begins with the name of a method and ``_`` begins with the method's title. Different labels
    have different titles: where one ``_`` follows another or ends the label, the label stays as it is.

    >>> title_of("ada_sise"), title_of("ada_sise_otsu"), title_of("ada_sise_"), title_of("mine")
    ('Ada-SISE', 'Ada-SISE otsu', 'ada_sise_', 'mine')
    """
    known = METHODS.get(name) or ARCHITECTURES.get(name)
    if known and known.title:
        return known.title
    methods = [method for method in METHODS if name.startswith(f"{method}_") and METHODS[method].title]
    method = max(methods, key=len, default="")
    variant = name.removeprefix(f"{method}_").split("_")
    if not method or "" in variant:
        return printable(name)
    return f"{METHODS[method].title} {printable(' '.join(variant))}"


def counted_pairs(count: int) -> str:
    """How many pairs a number rests on, in words.

    >>> counted_pairs(1), counted_pairs(150)
    ('1 pair', '150 pairs')
    """
    return "1 pair" if count == 1 else f"{count} pairs"
