"""Table 2 as bars: heights are shares of the maps available."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from figure_checks import ADA_SISE, EP, SISE, assert_legible, make_run, record, texts

from adasise_bench.records.record import Record
from adasise_bench.reporting.figures import kept_maps
from adasise_bench.reporting.published import published_table2
from adasise_bench.utils.errors import DataError

AVAILABLE = np.array([64, 256, 512, 1024, 2048])
OTSU = ADA_SISE | {"label": "otsu", "selector": "otsu"}


def kept(method: str, image: str, *counts: int) -> Record:
    return record(method, image, maps_kept=list(counts))


RECORDS = [
    kept("sise", "1", 32, 128, 256, 512, 1024),
    kept("sise", "2", 16, 128, 256, 512, 0),
    kept("ada_sise", "1", 26, 114, 179, 420, 551),
    kept("otsu", "1", 5, 6, 7, 8, 9),
    record("extremal_perturbation", "1"),
]


def test_heights_are_mean_shares_and_markers_are_table_2(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", RECORDS, (SISE, ADA_SISE, OTSU, EP))
    axes = kept_maps.draw([run], "resnet50").axes[0]
    heights = {bar.get_label(): [part.get_height() for part in bar] for bar in axes.containers}
    assert list(heights) == ["SISE", "Ada-SISE", "otsu"]
    assert heights["SISE"] == pytest.approx([37.5, 50, 50, 50, 25])
    assert heights["Ada-SISE"] == pytest.approx(100 * np.array([26, 114, 179, 420, 551]) / AVAILABLE)
    sise, ada_sise = axes.lines
    assert sise.get_ydata() == pytest.approx(100 * np.array(published_table2()["sise"]) / AVAILABLE)
    assert ada_sise.get_ydata() == pytest.approx(heights["Ada-SISE"])
    for markers, bars in zip((sise, ada_sise), axes.containers, strict=False):
        centres = [part.get_x() + part.get_width() / 2 for part in bars]
        assert markers.get_xdata() == pytest.approx(centres)
    ticks = [label.get_text() for label in axes.get_xticklabels()]
    assert ticks == [f"block {n}\n{count}" for n, count in enumerate(AVAILABLE, 1)]


def test_bars_of_a_group_do_not_touch_the_next(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", RECORDS, (SISE, ADA_SISE, OTSU, EP))
    axes = kept_maps.draw([run], "resnet50").axes[0]
    spans = sorted((part.get_x(), part.get_x() + part.get_width()) for bar in axes.containers for part in bar)
    assert all(next_[0] >= span[1] - 1e-9 for span, next_ in pairwise(spans))


def test_text_is_legible_with_one_and_with_many_methods(tmp_path: Path) -> None:
    labels = [f"sise_with_a_long_label_{number}" for number in range(9)]
    methods = [SISE, ADA_SISE, OTSU, EP, *(SISE | {"label": label} for label in labels)]
    records = RECORDS + [kept(label, "1", 1, 2, 3, 4, 5) for label in labels]
    run = make_run(tmp_path / "run", records, methods, published=False)
    for shown in (["sise"], []):
        assert_legible(kept_maps.draw([run], "resnet50", shown))
    assert "Stand-in weights" in texts(kept_maps.draw([run], "resnet50"))
    assert [
        bar.get_label() for bar in kept_maps.draw([run], "resnet50", ["ada_sise", "sise"]).axes[0].containers
    ] == [
        "Ada-SISE",
        "SISE",
    ]


def test_other_networks_have_no_published_counts(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("sise", "1", "vgg16", maps_kept=[1, 2, 3, 4, 5])])
    assert not kept_maps.draw([run], "vgg16").axes[0].lines


def test_no_selection_is_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [record("extremal_perturbation", "1")], [EP])
    with pytest.raises(DataError, match=r"run: no feature maps were selected on resnet50; run SISE"):
        kept_maps.draw([run], "resnet50")
