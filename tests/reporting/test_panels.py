"""The side-by-side picture: nothing is clipped, nothing overlaps."""

from __future__ import annotations

import itertools

import numpy as np
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
    small_print = "weights $0.5 and _not_ the published ones; " * 8
    figure = side_by_side(grid, small_print)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    width, height = canvas.get_width_height()
    texts = [text.get_window_extent(canvas.get_renderer()) for text in figure.texts]
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert len(boxes) == rows * columns
    lines = figure.texts[rows * columns :]
    assert " ".join(line.get_text() for line in lines) == small_print.strip()
    steps = np.diff([line.get_position()[1] for line in lines])
    np.testing.assert_allclose(steps, steps[0])
    if len(lines) > 2:
        longest = max(text.width for text in texts[rows * columns :])
        assert longest > 0.8 * min(width, 6.9 * figure.dpi)
    for box in (*texts, *boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= width
        assert box.y1 <= height
    for one, other in itertools.combinations([*texts, *boxes], 2):
        assert not one.shrunk(0.98, 0.98).overlaps(other)
    assert width <= 6.9 * figure.dpi + 1
    stacked = len({round(box.x0) for box in boxes}) == 1
    assert stacked == (columns == 1 or size[0] > size[1] * 2.2)


@pytest.mark.parametrize(
    ("size", "lines"), [((100, 100), 4), ((300, 200), 5), ((200, 300), 4), ((240, 100), 6)]
)
def test_many_panels_go_on_in_the_next_lines(size: tuple[int, int], lines: int) -> None:
    picture = Image.new("RGB", size, "red")
    names = [f"method {number}" for number in range(18)]
    figure = side_by_side([[Panel(name, picture) for name in names]] * 2, "small print")
    FigureCanvasAgg(figure).draw()
    assert figure.get_figwidth() <= 6.9
    boxes = [axes.get_window_extent() for axes in figure.axes]
    assert len({round(box.y0) for box in boxes}) == 2 * lines
    assert boxes == sorted(boxes, key=lambda box: (-round(box.y0), box.x0))
    assert min(box.width for box in boxes) >= 1.25 * figure.dpi
    assert [text.get_text() for text in figure.texts[:-1]] == [*names, *names]
    assert {text.get_fontsize() for text in figure.texts} == {7.0}


def test_a_picture_of_many_rows_can_be_drawn() -> None:
    picture = Image.new("RGB", (10, 10), "red")
    figure = side_by_side([[Panel("a", picture)] * 18] * 80, "small print")
    assert figure.get_figheight() * figure.dpi < 2**16
