"""The heat map of where objects are: it shows the coverage, the pixels and the levels that were computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from figure_checks import assert_legible, texts

from adasise_bench.reporting.figures.chance import draw
from adasise_bench.reporting.tables.chance import ChanceLevels
from adasise_bench.run.chance import chance_levels
from adasise_bench.run.config_file import validate
from adasise_bench.utils.errors import ConfigError


@pytest.fixture(scope="module")
def levels() -> ChanceLevels:
    tree = {
        "data": {"root": "embedded", "input_size": 48},
        "models": {"scenes_vgg": {}},
        "methods": ["sise"],
    }
    return chance_levels(validate(tree, "test"))


def test_it_shows_the_coverage_the_pixels_and_the_levels(levels: ChanceLevels) -> None:
    figure = draw(levels)
    assert_legible(figure)
    assert levels.covered is not None
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), levels.covered)
    row, column = divmod(int(levels.covered.argmax()), 48)
    points = [(line.get_xdata()[0], line.get_ydata()[0]) for line in figure.axes[0].lines]
    assert points == [(24, 24), (column, row)]
    written = texts(figure)
    means = levels.values.mean()
    assert f"best pixel (row {row}, column {column}): {levels.covered.max():.2f} %" in written
    for metric, level in (("ebpg", "Centre pixel"), ("bbox", "Centre Gaussian, sigma 0.25")):
        assert f"{means[metric][level]:.2f}" in written
    of_classes = levels.values["pointing"]["Centre pixel"].groupby("class_name").mean().mean()
    assert f"{of_classes:.2f}" in written


def test_inputs_of_several_shapes_are_refused(levels: ChanceLevels) -> None:
    with pytest.raises(ConfigError, match="stretch"):
        draw(replace(levels, covered=None))
