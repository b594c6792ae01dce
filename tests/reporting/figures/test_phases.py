"""Fig. 4: bars equal the records' means, markers the paper's totals."""

from __future__ import annotations

from pathlib import Path

import pytest
from figure_checks import ADA_SISE, EP, SISE, assert_legible, make_run, record, texts
from matplotlib.container import BarContainer

from adasise_bench.records.record import Record
from adasise_bench.records.run import Run
from adasise_bench.reporting.figures import phases, to_svg
from adasise_bench.reporting.figures.style import COLUMN
from adasise_bench.reporting.published import published, published_table1
from adasise_bench.utils.errors import ConfigError, DataError


def timed(method: str, image: str, maps: float, choice: float, scoring: float, fusion: float) -> Record:
    return record(
        method,
        image,
        seconds=maps + choice + scoring + fusion + 0.001,
        seconds_feature_maps=maps,
        seconds_selection=choice,
        seconds_scoring=scoring,
        seconds_fusion=fusion,
    )


RECORDS = [
    timed("sise", "1", 0.01, 0.02, 0.4, 0.03),
    timed("sise", "2", 0.03, 0.04, 0.8, 0.05),
    timed("ada_sise", "1", 0.02, 0.03, 0.3, 0.04),
    record("ada_sise", "2"),
    record("extremal_perturbation", "1", seconds=4.0, seconds_optimisation=3.99),
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return make_run(tmp_path / "run", RECORDS, (SISE, ADA_SISE, EP))


def bars_by_phase(run: Run, *methods: str) -> dict[str, list[tuple[float, float]]]:
    """(left, width) of every method's part, by phase."""
    axes = phases.draw([run], "resnet50", methods).axes[0]
    containers = [container for container in axes.containers if isinstance(container, BarContainer)]
    return {bar.get_label(): [(part.get_x(), part.get_width()) for part in bar] for bar in containers}


def test_parts_are_the_mean_phases_end_to_end(run: Run) -> None:
    bars = bars_by_phase(run, "sise", "ada_sise")
    assert list(bars) == ["feature maps", "selection", "scoring", "fusion"]
    sise = [bar[0] for bar in bars.values()]
    ada_sise = [bar[1] for bar in bars.values()]
    assert sise == [pytest.approx(part) for part in [(0, 0.02), (0.02, 0.03), (0.05, 0.6), (0.65, 0.04)]]
    assert ada_sise == [pytest.approx(part) for part in [(0, 0.02), (0.02, 0.03), (0.05, 0.3), (0.35, 0.04)]]


def test_methods_are_in_the_configurations_order_with_their_totals(run: Run) -> None:
    figure = phases.draw([run], "resnet50")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["SISE", "Ada-SISE", "Extremal\nPerturbation"]
    written = texts(figure)
    for part in ("4.00 s", "0.69 s", "0.39 s", "0.020 + 0.030 + 0.60 + 0.040", "Some CPU, fp32"):
        assert part in written


def test_published_and_measured_totals_are_markers_on_one_axis(run: Run) -> None:
    figure = phases.draw([run], "resnet50", ["extremal_perturbation", "sise", "ada_sise"])
    bars, totals = figure.axes
    assert not bars.get_position().overlaps(totals.get_position())
    assert not bars.lines
    measured, paper = totals.lines
    assert list(paper.get_xdata()) == [78.37, 9.21, 6.29]
    assert published("ada_sise")["figure4"]["seconds"] == {"sise": 9.21, "ada_sise": 6.29}
    assert list(measured.get_xdata()) == pytest.approx([4.0, 0.691, 0.391])
    assert all(markers.get_transform() == totals.transData for markers in (measured, paper))
    assert totals.get_xscale() == "log"
    assert totals.get_xlim() == (0.1, 100)
    assert [label.get_text() for label in totals.get_yticklabels()] == [
        label.get_text() for label in bars.get_yticklabels()
    ]
    written = texts(figure)
    assert "78.37 s" in written
    assert "Published: NVIDIA Tesla T4 16 GB." in written


def test_own_labels_and_other_networks_have_no_published_totals(tmp_path: Path) -> None:
    own = make_run(tmp_path / "own", [record("ada_sise", "1", seconds=1.0)], [SISE | {"label": "ada_sise"}])
    assert len(phases.draw([own], "resnet50").axes) == 1
    other = make_run(tmp_path / "other", [record("sise", "1", "scenes_vgg", seconds=1.0)])
    assert len(phases.draw([other], "scenes_vgg").axes) == 1
    vgg16 = make_run(tmp_path / "vgg16", [record("sise", "1", "vgg16", seconds=1.0)])
    total = published_table1()["vgg16"]["sise"]["seconds"]
    assert list(phases.draw([vgg16], "vgg16").axes[1].lines[1].get_xdata()) == [total]


def test_a_method_without_phases_is_one_bar(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("extremal_perturbation", "1", seconds=4.0)], [EP])
    assert bars_by_phase(run) == {"all phases": [(0, 4.0)]}


def test_text_is_legible_and_says_what_it_rests_on(run: Run, tmp_path: Path) -> None:
    for methods in ([], ["sise"], ["sise", "ada_sise"]):
        figure = phases.draw([run], "resnet50", methods)
        assert figure.get_figwidth() == COLUMN
        assert_legible(figure)
    assert "ResNet-50, VOC 2007 test: 2 of 4952 images, 1 to 2 explanations per method." in texts(figure)
    stand_in = make_run(tmp_path / "stand-in", RECORDS, (SISE, ADA_SISE, EP), published=False)
    figure = phases.draw([stand_in], "resnet50")
    assert "Stand-in weights, not the published model: not comparable with the paper." in texts(figure)
    assert_legible(figure)
    drawn = make_run(tmp_path / "drawn", RECORDS, (SISE, ADA_SISE, EP), embedded=True, full_images=2)
    assert "2 images, 1 to 2 explanations per method. Not photographs" in texts(
        phases.draw([drawn], "resnet50")
    )


def test_long_labels_stay_inside(tmp_path: Path) -> None:
    label = "sise_with_a_label_that_has_no_end_and_no_spaces_at_all"
    run = make_run(tmp_path / "run", [record(label, "1", seconds=1.0)], [SISE | {"label": label}])
    assert_legible(phases.draw([run], "resnet50"))


def test_equal_runs_give_equal_bytes(run: Run) -> None:
    assert to_svg(phases.draw([run], "resnet50")) == to_svg(phases.draw([run], "resnet50"))


def test_what_cannot_be_drawn_is_one_line(run: Run, tmp_path: Path) -> None:
    untimed = make_run(tmp_path / "untimed", [record("sise", "1")])
    with pytest.raises(DataError, match=r"untimed: no run-time of resnet50; .*share_forwards=false"):
        phases.draw([untimed], "resnet50")
    with pytest.raises(DataError, match=r"run: no records of model 'resnet'; did you mean 'resnet50'\?"):
        phases.draw([run], "resnet")
    with pytest.raises(ConfigError, match=r"run: no records of method 'sise_'; did you mean 'sise'\?"):
        phases.draw([run], "resnet50", ["sise_"])
