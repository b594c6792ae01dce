"""The ablation: points are means at their μ, adaptive selectors are lines, published points the slides'."""

from __future__ import annotations

from pathlib import Path

import pytest
from figure_checks import ADA_SISE, EP, SISE, assert_legible, make_run, record, texts
from matplotlib.axes import Axes

from adasise_bench.records.run import Run
from adasise_bench.reporting.figures import mu_ablation
from adasise_bench.reporting.published import published_scores
from adasise_bench.utils.errors import DataError

METHODS = (
    SISE | {"label": "half", "mu": 0.5},
    SISE,
    SISE | {"label": "soft", "mu": 0.6, "fusion": "soft"},
    ADA_SISE,
    ADA_SISE | {"label": "ada_sise_otsu", "selector": "otsu"},
    ADA_SISE | {"label": "fixed", "selector": "fixed", "mu": 0.3},
    EP,
)
EBPG = {"sise": (60, 70), "half": (50, 51), "soft": (1, 2), "ada_sise": (66, 68), "ada_sise_otsu": (64, 65),
        "fixed": (62, 63), "extremal_perturbation": (5, 6)}  # fmt: skip


def shared_run(folder: Path) -> Run:
    """Values without run-times, as shared forward passes give them."""
    records = [
        record(label, str(image), ebpg=value, bbox=value + 1, drop=30.0, increase=0.0, miou=20.0)
        for label, values in EBPG.items()
        for image, value in enumerate(values)
    ]
    return make_run(folder, records, METHODS)


def panel(run: list[Run], title: str) -> Axes:
    figure = mu_ablation.draw(run, "resnet50")
    return next(axes for axes in figure.axes if axes.get_title().startswith(title))


def test_points_and_lines_are_means_of_the_records(tmp_path: Path) -> None:
    measured, paper, *lines = panel([shared_run(tmp_path / "run")], "EBPG").lines
    assert list(measured.get_xdata()) == [0, 0.3, 0.5]
    assert list(measured.get_ydata()) == [65, 62.5, 50.5]
    slides = published_scores("sise", "mu_ablation")["resnet50"]
    assert dict(zip(paper.get_xdata(), paper.get_ydata(), strict=True)) == {
        float(mu): row["ebpg"] for mu, row in slides.items()
    }
    assert {line.get_label(): set(line.get_ydata()) for line in lines} == {
        "Ada-SISE": {67},
        "ada_sise_otsu": {64.5},
    }


def test_run_times_come_from_another_run(tmp_path: Path) -> None:
    shared = shared_run(tmp_path / "shared")
    assert panel([shared], "Run-time").get_title() == "Run-time, s ↓\n(published)"
    assert len(panel([shared], "Run-time").lines[0].get_xdata()) == 0
    records = [record(label, "0", seconds=2.0 + number) for number, label in enumerate(EBPG)]
    timed = make_run(tmp_path / "timed", records, METHODS)
    axes = panel([shared, timed], "Run-time")
    assert axes.get_title() == "Run-time, s ↓"
    assert axes.get_yscale() == "log"
    assert list(axes.lines[0].get_ydata()) == [2.0, 7.0, 3.0]
    assert panel([timed, shared], "EBPG").lines[0].get_ydata() == pytest.approx([65, 62.5, 50.5])
    written = texts(mu_ablation.draw([shared, timed], "resnet50"))
    assert "2 of 4952 images, 2 explanations per method." in written
    assert "Run-time of 1 explanations per method on Some CPU, fp32." in written
    assert "Run-time was not measured." in texts(mu_ablation.draw([shared], "resnet50"))


def test_text_is_legible_with_six_panels_and_with_five(tmp_path: Path) -> None:
    assert_legible(mu_ablation.draw([shared_run(tmp_path / "six")], "resnet50"))
    records = [
        record(label, "1", "scenes_vgg", ebpg=1.0, bbox=2.0, drop=1e-4 * value, increase=0.0, miou=3.0)
        for label, (value, _) in EBPG.items()
    ]
    run = make_run(tmp_path / "five", records, METHODS, embedded=True)
    figure = mu_ablation.draw([run], "scenes_vgg")
    assert len(figure.axes) == 5
    assert_legible(figure)
    assert "Not photographs: not comparable with the paper." in texts(figure)
    labelled = [axes for axes in figure.axes if axes.get_xlabel() == "μ"]
    assert [axes.get_title() for axes in labelled] == ["Increase, % ↑", "mIoU, % ↑"]


def test_one_threshold_makes_no_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("sise", "1", ebpg=1.0), record("ada_sise", "1", ebpg=1.0)])
    with pytest.raises(DataError, match=r"run: 1 value of the threshold mu .*run --config mu_ablation$"):
        mu_ablation.draw([run], "resnet50")
