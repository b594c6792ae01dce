"""The side-by-side picture: nothing is clipped, nothing overlaps."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from adasise_bench.reporting.panels import Panel, side_by_side

TITLE = "Extremal Perturbation\nno evidence: flat map"


@pytest.mark.parametrize("size", [(1, 1), (300, 200), (60, 3000), (3000, 60)])
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 4), (3, 2)])
def test_titles_pictures_and_small_print_fit(size: tuple[int, int], rows: int, columns: int) -> None:
    picture = Image.new("RGB", size, "red")
    grid = [[Panel(TITLE, picture)] * columns for _ in range(rows)]
    figure = side_by_side(grid, "weights $0.5 and _not_ the published ones; " * 8)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    texts = [text.get_window_extent(canvas.get_renderer()) for text in figure.texts]
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert len(boxes) == rows * columns
    assert len(texts) == rows * columns + 1
    for box in (*texts, *boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    for one, other in itertools.combinations([*texts, *boxes], 2):
        assert not one.shrunk(0.98, 0.98).overlaps(other)
    stacked = len({round(box.x0) for box in boxes}) == 1
    assert stacked == (columns == 1 or size[0] > size[1] * 2.2)
