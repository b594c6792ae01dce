"""Fig. 1 of Ada-SISE: how one picture's positive gradients are distributed, and where thresholds fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from adasise_bench.reporting.figures.style import blank, look, named, named_handles, note, styled
from adasise_bench.utils.quantities import counted

_BINS = 40


@dataclass(frozen=True)
class Gradients:
    """The normalised summed gradients of one picture and class.

    Attributes:
        values: per block from the input side, (K,) float64 v_k, at most 1.
        thresholds: the threshold μ of every block, by the label of the method that chooses it.
        note: what was differentiated, for the foot of the figure.
    """

    values: tuple[NDArray[np.float64], ...]
    thresholds: Mapping[str, Sequence[float]]
    note: str


@styled
def draw(gradients: Gradients) -> Figure:
    """Draw a histogram of the positive v_k of each block, with each method's threshold μ and maps kept."""
    blocks, methods = len(gradients.values), len(gradients.thresholds)
    figure = blank(0.35 + blocks * max(0.75, 0.1 + 0.155 * methods))
    panels = figure.subplots(blocks, 1, sharex=True, squeeze=False)[:, 0]
    for number, (axes, values) in enumerate(zip(panels, gradients.values, strict=True)):
        positive = int((values > 0).sum())
        axes.set_title(f"block {number + 1}: v > 0 for {positive} of {len(values)} maps", loc="left")
        _panel(axes, values, [mus[number] for mus in gradients.thresholds.values()])
    panels[-1].set_xlabel("normalised gradient v")
    figure.supylabel("number of maps", fontsize="medium")
    named_handles(figure, panels[0].lines, [named(label) for label in gradients.thresholds])
    note(figure, f"v: a map's summed gradient / the largest of its block; v > μ is kept. {gradients.note}")
    return figure


def _panel(axes: Axes, values: NDArray[np.float64], thresholds: Sequence[float]) -> None:
    axes.hist(values[values > 0], bins=_BINS, range=(0, 1), color="0.75", edgecolor="0.45", linewidth=0.3)
    for position, mu in enumerate(thresholds):
        style = look(position)
        kept = int((values > mu).sum())
        axes.axvline(
            mu, color=style.color, linestyle=style.dashes, label=f"μ = {mu:.3g}: {counted(kept, 'map')}"
        )
    axes.set_xlim(-0.02, 1.02)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
