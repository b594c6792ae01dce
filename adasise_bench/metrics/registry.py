"""The metrics by name: what each is called, what it means, and which function computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from math import inf
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from adasise_bench.data.rules import Rules

Direction = Literal["up", "down"]
"""Which values are better: the higher or the lower ones."""

Unit = Literal["percent", "seconds", "maps", "inputs", "megabytes", "correlation", "nats", "count"]

Average = Literal["pairs", "classes"]
"""What a mean is taken over: all pairs, or the means of those classes that have values."""


class Passes(NamedTuple):
    """The inputs that a metric passes through the network in whole batches: their number, in parts.

    Attributes:
        inputs: how many it passes of any picture.
        rows: how many it passes for each row of the input's pixels.
        explanations: how often it explains again, with what this takes.
    """

    inputs: int = 0
    rows: int = 0
    explanations: int = 0


class Range(NamedTuple):
    """The smallest and the largest value, both included; ``whole`` where only these two are possible."""

    low: float
    high: float
    whole: bool = False


PERCENT = Range(0, 100)
HIT = Range(0, 100, whole=True)
HALF = Range(-50, 50)
FROM_ZERO = Range(0, inf)
ANYTHING = Range(-inf, inf)


@dataclass(frozen=True)
class Metric:
    """One metric: a row of the tables, and, where it has a function, a column of the records.

    Attributes:
        title: the row's title.
        summary: one line about it.
        unit: of its numbers.
        direction: which values are better; ``None`` where neither are.
        function: ``module:function`` below ``adasise_bench.metrics``, which computes it for one pair. The
            function's parameters are named after what is known of a pair, see
            :class:`~adasise_bench.metrics.pair.Pair`, or after another metric. Empty for what a run itself
            records, such as time.
        definition: names what the function computes. A change that moves values takes a new name.
        rules: the rules that move its values: ``ties``, ``corners`` or both.
        range: the values that it can have where the score Ψ lies in [0, 1].
        range_of_raw_outputs: the same where Ψ is the network's raw output; ``None`` where it is then not
            computed.
        default: whether tables have it unasked, and, where it has a function, ``compare`` looks at it.
        passes: the further inputs that it passes through the network; ``None`` for none. Metrics that have
            any are computed only where ``extra_metrics`` asks for them.
        column: of the records that it is taken from; by default its name.
        quantile: share of the values that lie below it; ``None`` for the mean.
        average: what the mean is taken over.
    """

    title: str
    summary: str
    unit: Unit = "percent"
    direction: Direction | None = "up"
    function: str = ""
    definition: str = ""
    rules: tuple[Literal["ties", "corners"], ...] = ()
    range: Range = PERCENT
    range_of_raw_outputs: Range | Literal["the same"] | None = "the same"
    default: bool = False
    passes: Passes | None = None
    column: str = ""
    quantile: float | None = None
    average: Average = "pairs"

    @property
    def explains_again(self) -> bool:
        """Whether the method that made a map must explain once more."""
        return self.passes is not None and self.passes.explanations > 0

    def load(self) -> Callable[..., float | None]:
        """Import the function."""
        module, _, name = self.function.partition(":")
        loaded: Callable[..., float | None] = getattr(import_module(f"adasise_bench.metrics.{module}"), name)
        return loaded

    def possible(self, score: str) -> Range | None:
        """The values that it can have under a score Ψ; ``None`` where it is not computed."""
        if score != "logit" or self.range_of_raw_outputs == "the same":
            return self.range
        return self.range_of_raw_outputs

    def definition_under(self, rules: Rules) -> str:
        """The name of what is computed under these rules: the definition, with the rules in its name.

        Example:
            >>> from adasise_bench.data.rules import Rules
            >>> from adasise_bench.metrics import METRICS
            >>> METRICS["bbox"].definition_under(Rules(ties="strict"))
            'bbox-topN-strict-v1'
        """
        stem, _, version = self.definition.rpartition("-")
        changed = [value for name, value in rules.changed().items() if name in self.rules]
        return "-".join((stem, *changed, version))


def _named(metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    return {
        name: metric if metric.column else replace(metric, column=name) for name, metric in metrics.items()
    }


METRICS: Mapping[str, Metric] = _named({
    "ebpg": Metric(
        "EBPG, %", "energy of the map inside the class's boxes / total energy",
        function="localisation:ebpg", definition="ebpg-box-union-v1", rules=("corners",), default=True,
    ),
    "bbox": Metric(
        "Bbox, %", "share of the N highest pixels inside the boxes, N = box pixels",
        function="localisation:bbox", definition="bbox-topN-v1", rules=("ties", "corners"), default=True,
    ),
    "drop": Metric(
        "Drop, %", "relative loss of score when only the top 15 % pixels are shown", direction="down",
        function="faithfulness:drop", definition="drop-hard15-v1", rules=("ties",), default=True,
        range_of_raw_outputs=FROM_ZERO,
    ),
    "increase": Metric(
        "Increase, %", "share of pairs whose score rises with the top 15 % alone",
        function="faithfulness:increase", definition="increase-hard15-v1", rules=("ties",), range=HIT,
        default=True,
    ),
    "miou": Metric(
        "mIoU, %", "IoU of the top 20 % pixels with the boxes",
        function="localisation:miou", definition="miou-top20-v1", rules=("ties", "corners"), default=True,
    ),
    "seconds": Metric(
        "Run-time, s", "time of one explanation, synchronised, without data loading", "seconds", "down",
        definition="seconds-v1", range=FROM_ZERO, default=True,
    ),
    "pointing": Metric(
        "Pointing, %", "share of highest pixels within 15 px of an object, by class",
        function="localisation:pointing", definition="pointing-torchray15-v1", rules=("corners",), range=HIT,
        average="classes",
    ),
    "pointing_difficult": Metric(
        "Pointing, difficult, %", "the same for small objects beside other classes",
        function="localisation:pointing_difficult", definition="pointing-difficult-torchray15-v1",
        rules=("corners",), range=HIT, average="classes",
    ),
    "average_gain": Metric(
        "Average gain, %", "share of the missing score that the top 15 % alone bring",
        function="faithfulness:average_gain", definition="average-gain-hard15-v1", rules=("ties",),
        range_of_raw_outputs=None,
    ),
    "insertion": Metric(
        "Insertion, %", "area under the score while the blurred picture is uncovered",
        function="faithfulness:insertion", definition="insertion-rise-blur11-v1",
        range_of_raw_outputs=ANYTHING, passes=Passes(inputs=1, rows=1),
    ),
    "deletion": Metric(
        "Deletion, %", "area under the score while the picture is set to zero", direction="down",
        function="faithfulness:deletion", definition="deletion-rise-zero-v1",
        range_of_raw_outputs=ANYTHING, passes=Passes(inputs=1, rows=1),
    ),
    "head_sensitivity": Metric(
        "Randomised head, correlation", "rank correlation with the map of a randomised last layer",
        "correlation", "down", function="randomisation:head_sensitivity",
        definition="head-random-spearman-v1",
        range=Range(-1, 1), passes=Passes(explanations=1),
    ),
    "road": Metric(
        "ROAD, %", "half of Ψ without the map's lowest pixels minus Ψ without its highest, filled in",
        function="road:road", definition="road-linear-morf-lerf-v1", range=HALF,
        range_of_raw_outputs=ANYTHING, passes=Passes(inputs=18),
    ),
    "adcc": Metric(
        "ADCC, %", "harmonic mean of coherency, 1 - complexity and 1 - average drop",
        function="adcc:adcc", definition="adcc-v1", range_of_raw_outputs=None, passes=Passes(explanations=1),
    ),
    "sparseness": Metric(
        "Sparseness, %", "Gini index of the map's pixels",
        function="sparseness:sparseness", definition="sparseness-gini-v1",
    ),
    "complexity": Metric(
        "Complexity, nats", "entropy of the pixels' shares in the map's energy", "nats", "down",
        function="complexity:complexity", definition="complexity-entropy-v1", range=FROM_ZERO,
    ),
    "seconds_median": Metric(
        "Run-time, median, s", "half of the explanations took less", "seconds", "down",
        column="seconds", quantile=0.5,
    ),
    "seconds_p90": Metric(
        "Run-time, p90, s", "nine of ten explanations took less", "seconds", "down",
        column="seconds", quantile=0.9,
    ),
    "forwards": Metric(
        "Forward passes", "inputs that an explanation passed through the network", "inputs", "down",
        range=FROM_ZERO,
    ),
    "peak_memory": Metric(
        "Peak memory, MB", "most memory that tensors held on the GPU", "megabytes", "down", range=FROM_ZERO,
        column="peak_memory_mb",
    ),
})  # fmt: skip
"""In the order of the records' columns."""

COMPUTED = tuple(name for name, metric in METRICS.items() if metric.function)
"""Metrics that a function computes for every pair; each is a column of the records."""

EXTRA = tuple(name for name, metric in METRICS.items() if metric.passes)
"""Those of them that cost further passes through the network."""

DEFAULT = tuple(name for name, metric in METRICS.items() if metric.default)
"""What tables show unasked: the rows of the paper's Table 1, and mIoU."""

QUALITY = tuple(name for name in DEFAULT if METRICS[name].function)
"""What the regression gate looks at."""

DEFINITIONS = {name: metric.definition for name, metric in METRICS.items() if metric.definition}


def definitions(rules: Rules) -> dict[str, str]:
    """The definitions of the metrics under these rules, by the metrics' names."""
    return {name: METRICS[name].definition_under(rules) for name in DEFINITIONS}


def expected_forwards(names: Iterable[str], side: int, explanation: int) -> int:
    """Forward passes that computing metrics of one explanation is expected to take, for planning.

    Args:
        names: of :data:`EXTRA`.
        side: pixels of the input's side.
        explanation: forward passes of the explanation itself.
    """
    passed = [METRICS[name].passes or Passes() for name in names]
    return sum(one.inputs + one.rows * side + one.explanations * explanation for one in passed)


def scored_inputs(names: Iterable[str], side: int, explanation: range) -> list[range]:
    """How many inputs each metric of one explanation scores in whole batches; see :class:`.Workload`.

    Args:
        names: of :data:`EXTRA`.
        side: pixels of the input's side.
        explanation: how many the explanation itself scores.
    """
    passed = [METRICS[name].passes or Passes() for name in names]
    own = [one.inputs + one.rows * side for one in passed]
    return [
        explanation if one.explanations else range(inputs, inputs + 1)
        for one, inputs in zip(passed, own, strict=True)
    ]
