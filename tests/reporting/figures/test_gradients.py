"""Fig. 1: the histogram and the thresholds are those that the methods select by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from figure_checks import assert_legible, texts

from adasise_bench.records.run import load_run
from adasise_bench.reporting.figures.gradients import Gradients, draw
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.picture_gradients import of_picture
from adasise_bench.run.plan import make_plan
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import ConfigError, DataError

METHODS: list[Any] = [
    "sise",
    {"name": "sise", "label": "sise_mu0.3", "mu": 0.3},
    "ada_sise",
    {"name": "ada_sise", "label": "ada_sise_otsu", "selector": "otsu"},
]


def config(*methods: Any) -> RunConfig:
    tree = {
        "data": {"root": "embedded", "input_size": 32},
        "models": {"scenes_vgg": {}},
        "methods": list(methods) or METHODS,
        "engine": {"layout": "contiguous", "batch_size": 8},
        "share_forwards": True,
        "limit": 1,
    }
    return validate(tree, "test")


def test_thresholds_keep_as_many_maps_as_a_run_records(tmp_path: Any) -> None:
    run(config(), tmp_path / "run")
    records = load_run(tmp_path / "run").records
    first = records.iloc[0]
    gradients = of_picture(config(), "scenes_vgg", first["image_id"], first["class_name"])
    assert list(gradients.thresholds) == ["sise", "sise_mu0.3", "ada_sise", "ada_sise_otsu"]
    for label, mus in gradients.thresholds.items():
        of_class = records[(records["method"] == label) & (records["class_name"] == first["class_name"])]
        kept = [int((values > mu).sum()) for values, mu in zip(gradients.values, mus, strict=True)]
        assert kept == of_class["maps_kept"].iloc[0].tolist()


def test_the_class_must_be_clear_and_the_picture_there() -> None:
    plan = make_plan(validate({"data": {"root": "embedded"}, "models": {"scenes_vgg": {}},
                               "methods": ["sise"]}, "test"))  # fmt: skip
    several = next(image for image in plan.annotations if len(plan.class_names(image)) > 1)
    single = next(image for image in plan.annotations if len(plan.class_names(image)) == 1)
    assert f"class {plan.class_names(single)[0]}." in of_picture(config(), "scenes_vgg", single, None).note
    with pytest.raises(ConfigError, match=rf"{several}: shows several classes; choose one of {several}:"):
        of_picture(config(), "scenes_vgg", several, None)
    with pytest.raises(ConfigError, match=r":disk: no such class; did you mean 'disc'\?"):
        of_picture(config(), "scenes_vgg", several, "disk")
    with pytest.raises(DataError, match="embedded: no picture 'nowhere' in drawn scenes; `ls pictures"):
        of_picture(config(), "scenes_vgg", "nowhere", None)
    with pytest.raises(ConfigError, match="methods: none of them selects feature maps"):
        of_picture(config("extremal_perturbation"), "scenes_vgg", single, None)


VALUES = (np.array([-1.0, 0.02, 0.02, 0.5, 1.0]), np.zeros(3), np.linspace(-0.5, 1, 300))


def test_bars_count_the_positive_values_and_lines_lie_at_the_thresholds() -> None:
    figure = draw(Gradients(VALUES, {"sise": [0.0] * 3, "ada_sise": [0.02, 0.0, 0.1]}, "A note."))
    counts = [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes]
    assert counts == [4, 0, (VALUES[2] > 0).sum()]
    assert figure.axes[0].patches[0].get_height() == 2
    assert [[line.get_xdata()[0] for line in axes.lines] for axes in figure.axes] == [
        [0.0, 0.02],
        [0.0, 0.0],
        [0.0, 0.1],
    ]
    written = texts(figure)
    for part in ("block 1: v > 0 for 4 of 5 maps", "μ = 0.02: 2 maps", "μ = 0: 0 maps", "A note."):
        assert part in written


@pytest.mark.parametrize("methods", [1, 9])
def test_text_is_legible_with_few_and_many_thresholds(methods: int) -> None:
    labels = ["sise", "ada_sise", *(f"sise_with_a_long_label_{number}" for number in range(7))]
    gradients = Gradients(VALUES, {label: [0.0308, 0.28, 0.421] for label in labels[:methods]}, "Note. " * 20)
    assert_legible(draw(gradients))
