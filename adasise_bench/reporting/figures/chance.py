"""Where the objects are, whatever the picture: what a map gets that is the same for all."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from adasise_bench.metrics.chance import centre_pixel
from adasise_bench.metrics.registry import METRICS
from adasise_bench.reporting.figures.style import blank, named_handles, note, styled
from adasise_bench.reporting.statistics import estimate_means
from adasise_bench.reporting.tables.chance import (
    CENTRE,
    FITTED_PIXEL,
    GAUSSIANS,
    LOCATED,
    MAP,
    PIXEL,
    TIES,
    ChanceLevels,
)
from adasise_bench.utils.errors import ConfigError

_HEIGHT = 2.7
_LINE = 0.14
"""Inches of the heat map, and of one line of numbers."""

_COLUMNS = (0.55, 0.69, 0.83, 1.0)
"""Where the columns of numbers end, as shares of the width."""

_SHORT = {
    TIES: "uniform, protocol's ties",
    **{level: f"Gaussian, sigma {sigma:g}" for sigma, level in GAUSSIANS.items()},
    CENTRE: "centre pixel",
    FITTED_PIXEL: "best pixel",
    PIXEL: "best pixel, cross-fitted",
    MAP: "best maps, cross-fitted",
}
"""The levels that the figure shows, and what it calls them."""


@styled
def draw(levels: ChanceLevels) -> Figure:
    """A heat map: how many of the pairs have each pixel of the input in their region; below it, the levels.

    Args:
        levels: of inputs of one shape.

    Raises:
        ConfigError: inputs of several shapes, which have no pixels in common.
    """
    if levels.covered is None:
        raise ConfigError("data.resize: the figure needs inputs of one shape; set data.resize=stretch")
    height = _LINE * (len(_SHORT) + 1)
    figure = blank(_HEIGHT + height)
    axes, below = figure.subplots(2, 1, height_ratios=[_HEIGHT, height])
    image = axes.imshow(levels.covered, cmap="cividis", vmin=0)
    lines = axes.contour(levels.covered, range(10, 100, 10), colors="white", linewidths=0.5)
    lines.set_path_effects([withStroke(linewidth=1.1, foreground="black")])
    bar = figure.colorbar(image, ax=axes)
    bar.set_label("pairs with the pixel in their region, %")
    _mark_pixels(axes, levels.covered)
    axes.set_xticks([])
    axes.set_yticks([])
    named_handles(figure, axes.lines[:], [str(line.get_label()) for line in axes.lines])
    _write_levels(below, levels)
    pairs, images = len(levels.values), levels.values.index.get_level_values("image_id").nunique()
    note(
        figure,
        f"{levels.data}, {pairs} pairs of {images} images, input {levels.input}. A line at every 10 %. "
        "What one gets without looking at the picture, in %; cross-fitted: found from other images.",
    )
    return figure


def _mark_pixels(axes: Axes, covered: NDArray[np.float64]) -> None:
    """The centre pixel and the best one, with the EBPG of a map that is this pixel alone."""
    height, width = covered.shape
    pixels: dict[str, tuple[int, dict[str, Any]]] = {
        "centre pixel": (centre_pixel((height, width)), {"marker": "+", "markersize": 8}),
        "best pixel": (int(covered.argmax()), {"marker": "o", "markerfacecolor": "none"}),
    }
    for title, (pixel, look) in pixels.items():
        row, column = divmod(pixel, width)
        share = covered[row, column]
        label = f"{title} (row {row}, column {column}): {share:.2f} %"
        outline = [withStroke(linewidth=2.5, foreground="white")]
        axes.plot(column, row, linestyle="", color="black", path_effects=outline, label=label, **look)


def _write_levels(axes: Axes, levels: ChanceLevels) -> None:
    """A line for each level, its numbers under the metrics' titles; a dash where there is none."""
    means = {name: estimate_means(levels.values[[name]], METRICS[name].average) for name in LOCATED}
    lines = [("", [METRICS[name].title.removesuffix(", %") for name in LOCATED])]
    for level, title in _SHORT.items():
        numbers = (means[name][name, level].mean for name in LOCATED)
        lines.append((title, ["-" if mean is None else f"{mean:.2f}" for mean in numbers]))
    for number, (title, words) in enumerate(lines):
        y = 1 - (number + 0.5) / len(lines)
        axes.text(0, y, title, va="center")
        for word, x in zip(words, _COLUMNS, strict=True):
            axes.text(x, y, word, va="center", ha="right")
    axes.set_axis_off()
