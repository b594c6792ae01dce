"""The ablation: points are means at their μ, adaptive selectors are lines, published points the slides'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from figure_checks import ADA_SISE, EP, SISE, assert_legible, make_run, record, texts
from matplotlib.axes import Axes

from adasise_bench.records.run import Run
from adasise_bench.reporting.figures import mu_ablation
from adasise_bench.reporting.published import published_scores
from adasise_bench.reporting.statistics import estimate_means
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
    drawn = panel([shared_run(tmp_path / "run")], "EBPG").lines
    measured, paper, *others = drawn
    assert [line.get_label() for line in drawn[:2]] == ["SISE", "SISE, published"]
    assert list(measured.get_xdata()) == [0, 0.3, 0.5]
    assert list(measured.get_ydata()) == [65, 62.5, 50.5]
    slides = published_scores("sise", "mu_ablation")["resnet50"]
    assert dict(zip(paper.get_xdata(), paper.get_ydata(), strict=True)) == {
        float(mu): row["ebpg"] for mu, row in slides.items()
    }
    assert [set(line.get_ydata()) for line in others] == [{67}, {67}, {64.5}, {64.5}]
    beside = {line.get_label(): list(line.get_xdata()) for line in others[1::2]}
    assert list(beside) == ["Ada-SISE", "Ada-SISE otsu"]
    assert all(x > 0.75 for (x,) in beside.values())


def many_images(folder: Path) -> Run:
    """Enough images for intervals, as :func:`estimate_means` gives them."""
    noise = np.random.default_rng(0)
    records = [
        record(label, str(image), ebpg=float(noise.uniform(*ends)), bbox=float(noise.uniform(80, 99)),
               drop=float(noise.uniform(0, 9)), increase=0.0, miou=20.0, seconds=float(noise.uniform(1, 2)))
        for label, ends in EBPG.items()
        for image in range(30)
    ]  # fmt: skip
    return make_run(folder, records, METHODS)


def test_bars_are_the_intervals_of_the_tables(tmp_path: Path) -> None:
    run = many_images(tmp_path / "run")
    bars = [bar for lines in panel([run], "EBPG").collections for bar in lines.get_segments()]
    expected = []
    for label in ("sise", "fixed", "half", "ada_sise", "ada_sise_otsu"):
        group = run.records[run.records["method"] == label]
        values = group.set_index(["image_id", "class_name"])[["ebpg"]]
        estimate = estimate_means(values)["ebpg"]
        expected.append((estimate.low, estimate.high))
    assert [tuple(bar[:, 1]) for bar in bars] == [pytest.approx(ends) for ends in expected]
    assert [bar[0, 0] for bar in bars[:3]] == [0, 0.3, 0.5]
    assert not panel([run], "mIoU").collections
    assert "Bars: 95 % intervals." in texts(mu_ablation.draw([run], "resnet50"))
    few = texts(mu_ablation.draw([shared_run(tmp_path / "few")], "resnet50"))
    assert "intervals" not in few


def test_axes_in_percent_have_one_span_and_cut_nothing(tmp_path: Path) -> None:
    figure = mu_ablation.draw([many_images(tmp_path / "run")], "resnet50")
    percent = [axes for axes in figure.axes if "%" in axes.get_title()]
    assert len(percent) == 5
    spans = [axes.get_ylim()[1] - axes.get_ylim()[0] for axes in percent]
    assert spans == pytest.approx([spans[0]] * 5)
    assert f"All axes in % span {spans[0]:.3g} points and need not start at 0" in texts(figure)
    for axes in figure.axes:
        low, high = axes.get_ylim()
        shown = [value for line in axes.lines for value in line.get_ydata()]
        shown += [value for lines in axes.collections for bar in lines.get_segments() for value in bar[:, 1]]
        assert low < min(shown)
        assert max(shown) < high
        if axes in percent:
            assert low >= -0.05 * spans[0] - 1e-9
            assert high <= 100 + 0.05 * spans[0] + 1e-9


def test_the_logarithmic_axis_has_whole_decades_in_plain_numbers(tmp_path: Path) -> None:
    figure = mu_ablation.draw([many_images(tmp_path / "run")], "resnet50")
    assert_legible(figure)
    axes = next(axes for axes in figure.axes if axes.get_title().startswith("Run-time"))
    assert axes.get_ylim() == (0.1, 100)
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert [label for label in labels if label in ("0.1", "1", "10", "100")] == ["0.1", "1", "10", "100"]
    assert not any("$" in label for label in labels)


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
    assert "Run-time of 1 explanation per method on Some CPU, fp32." in written
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


def test_many_adaptive_selectors_leave_room_for_the_thresholds(tmp_path: Path) -> None:
    others = [ADA_SISE | {"label": f"adaptive_{number}", "selector": "otsu"} for number in range(13)]
    methods = [SISE, SISE | {"label": "half", "mu": 0.5}, *others]
    records = [record(entry["label"], "0", ebpg=60.0) for entry in methods]
    figure = mu_ablation.draw([make_run(tmp_path / "run", records, methods)], "resnet50")
    assert_legible(figure)
    assert "1 of 4952 images, 1 explanation per method." in texts(figure)
    beside = [x for line in figure.axes[0].lines if len(line.get_xdata()) == 1 for x in line.get_xdata()]
    assert len(set(beside)) == len(others)
    assert beside == sorted(beside)
    assert max(beside) <= 0.75 + 0.52 * 0.75 + 1e-9


def test_one_threshold_makes_no_curve(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("sise", "1", ebpg=1.0), record("ada_sise", "1", ebpg=1.0)])
    with pytest.raises(DataError, match=r"run: 1 value of the threshold mu .*run --config mu_ablation$"):
        mu_ablation.draw([run], "resnet50")
