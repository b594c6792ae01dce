"""What a table is made of, before it is rendered."""

from __future__ import annotations

from dataclasses import dataclass

from adasise_bench.metrics.registry import Direction, Unit
from adasise_bench.utils.messages import printable

TITLES = {
    "vgg16": "VGG16",
    "resnet50": "ResNet-50",
    "extremal_perturbation": "Extremal Perturbation",
    "sise": "SISE",
    "ada_sise": "Ada-SISE",
    "grad_cam": "Grad-CAM",
    "grad_cam_pp": "Grad-CAM++",
    "score_cam": "Score-CAM",
    "ablation_cam": "Ablation-CAM",
    "cam": "CAM",
    "rise": "RISE",
    "integrated_gradients": "Integrated Gradients",
    "full_grad": "FullGrad",
    "gradient": "Gradient",
    "lrp": "LRP",
    "information_bottleneck": "Information Bottleneck",
    "random": "Random",
    "centre": "Centre Gaussian",
    "edge": "Edge detector",
    "box_oracle": "Box oracle",
}


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        method: label of the method; ``None`` where the number belongs to the network.
        metric: name of what was measured.
        measured: the mean, quantile or count; ``None`` when there is nothing to take it over.
        n: how many pairs ``measured`` rests on; ``None`` where it is no statistic.
        of: how many there should be.
        published: the paper's number.
        best: the best measured value of its row, at the printed precision.
        low, high: ends of the 95 % interval of ``measured``; ``None`` where there is none.
        images: how many images the pairs come from; ``None`` where it was not counted.
        against: label of the method whose values were subtracted; ``None`` where none were.
        group: class, object size, range of scores or outcome that the pairs belong to; ``None`` for all.
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

    @property
    def excludes_zero(self) -> bool | None:
        """Whether a difference's interval lies on one side of 0; ``None`` where there is no such interval."""
        if self.against is None or self.low is None or self.high is None:
            return None
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """One line of a table; ``direction`` says which values are better."""

    title: str
    direction: Direction | None
    unit: Unit
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One table for one network."""

    name: str
    model: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Tables:
    """Everything that a report shows."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def number(value: float, unit: Unit) -> str:
    """A number as it is printed: percent with 2 decimals, seconds below 1 with 2 significant digits.

    Correlations have 3 decimals.
    """
    if isinstance(value, int):
        return str(value)
    if unit == "seconds" and abs(value) < 1:
        return f"{value:#.2g}"
    if unit == "correlation":
        return f"{value:.3f}"
    return f"{value:.2f}" if unit in ("percent", "seconds") else f"{value:.1f}"


def title_of(name: str) -> str:
    """The papers' name of a model or method, or the label itself."""
    return TITLES.get(name, printable(name))
