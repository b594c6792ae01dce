"""Fig. 3: the right picture, box and map in each cell, and rows picked as asked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from figure_checks import assert_legible, drawn_texts, texts
from matplotlib.patches import Rectangle
from PIL import Image

from adasise_bench.data.boxes import Box
from adasise_bench.records.maps import map_path
from adasise_bench.records.record import Key
from adasise_bench.records.run import load_run
from adasise_bench.reporting.figures.saliency_maps import Row, SavedMaps, draw, shortened
from adasise_bench.reporting.figures.style import COLUMN, TWO_COLUMNS
from adasise_bench.reporting.overlay import overlay
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("maps") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path.parent / "cache"))
        tree = {
            "data": {"root": "embedded", "input_size": 32},
            "models": {"scenes_vgg": {}},
            "methods": ["ada_sise", "sise"],
            "engine": {"layout": "contiguous", "batch_size": 8},
            "share_forwards": True,
            "limit": 4,
            "save_maps": True,
        }
        run(validate(tree, "test"), path)
    return path


@pytest.fixture
def saved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> SavedMaps:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
    return SavedMaps.of([load_run(folder)], "scenes_vgg")


def test_a_row_holds_what_the_run_recorded_and_saved(folder: Path, saved: SavedMaps) -> None:
    records = load_run(folder).records
    first = records.iloc[0]
    pair = (first["image_id"], first["class_name"])
    row = saved.row(pair)
    assert row.score == first["score"]
    assert list(row.maps) == ["ada_sise", "sise"]
    for label, saliency in row.maps.items():
        saved = np.load(map_path(folder, Key("scenes_vgg", label, *pair)))
        np.testing.assert_array_equal(saliency, saved)
    assert row.boxes
    assert {box.class_name for box in row.boxes} == {pair[1]}


def test_rows_by_picture_by_class_and_by_seed(folder: Path, saved: SavedMaps) -> None:
    records = load_run(folder).records
    group = records[(records["method"] == "sise") & records["score"].notna()]
    every = list(zip(group["image_id"], group["class_name"], strict=True))
    image_id = next(image_id for image_id, _ in every if group["image_id"].eq(image_id).sum() > 1)
    pairs = saved.pairs(image_id, None)
    assert pairs == [pair for pair in every if pair[0] == image_id]
    assert saved.pairs(*pairs[-1]) == [pairs[-1]]
    drawn = saved.sample(3, seed=1)
    assert drawn == saved.sample(3, seed=1)
    assert drawn == [pair for pair in every if pair in drawn]
    assert len({tuple(saved.sample(3, seed)) for seed in range(8)}) > 1
    assert saved.sample(len(every), seed=5) == every


def test_only_complete_pairs_are_drawn_at_random(folder: Path, saved: SavedMaps) -> None:
    every = saved.sample(len(saved.records["sise"]), seed=0)
    path = map_path(folder, Key("scenes_vgg", "ada_sise", *every[0]))
    aside = path.rename(path.with_suffix(".aside"))
    try:
        assert saved.sample(len(every) - 1, seed=0) == every[1:]
        with pytest.raises(ConfigError, match=rf"--random {len(every)}: .*run has all methods' maps of "):
            saved.sample(len(every), seed=0)
        with pytest.raises(DataError, match=r"no saliency map.*--save-maps"):
            saved.row(every[0])
    finally:
        aside.rename(path)


def test_what_is_not_there_is_named(folder: Path, saved: SavedMaps) -> None:
    image_id, class_name = saved.sample(1, seed=0)[0]
    with pytest.raises(DataError, match=r"--image nowhere: .*run explained no such picture"):
        saved.pairs("nowhere", None)
    with pytest.raises(DataError, match=rf"not explained; did you mean '{class_name}'"):
        saved.pairs(image_id, class_name[:-1])
    with pytest.raises(ConfigError, match=r"no records of method 'sis'; did you mean 'sise'"):
        SavedMaps.of([load_run(folder)], "scenes_vgg", ["sis"])
    maps = folder / "maps"
    maps.rename(folder / "aside")
    try:
        with pytest.raises(DataError, match=r"run: no saliency maps of scenes_vgg; .*--save-maps"):
            SavedMaps.of([load_run(folder)], "scenes_vgg")
    finally:
        (folder / "aside").rename(maps)


def rows(*methods: str) -> list[Row]:
    noise = np.random.default_rng(0)
    wide = Image.fromarray(noise.integers(0, 255, (30, 50, 3), dtype=np.uint8))
    tall = Image.fromarray(noise.integers(0, 255, (60, 40, 3), dtype=np.uint8))
    maps = {label: noise.random((8, 8), dtype=np.float32) for label in methods}
    return [
        Row("000001", "diningtable", 0.99561, wide, [Box("diningtable", 1, 1, 50, 30)], maps),
        Row("2008_$x$", "dog", 2e-5, tall, [Box("dog", 3, 5, 10, 20), Box("dog", 11, 5, 20, 20)], maps),
    ]


def test_cells_show_picture_boxes_and_overlays() -> None:
    drawn = rows("sise", "ada_sise")
    figure = draw(drawn, "Some network.")
    grid = np.array(figure.axes).reshape(2, 3)
    for line, row in zip(grid, drawn, strict=True):
        shown = [axes.images[0].get_array() for axes in line]
        np.testing.assert_array_equal(shown[0], np.asarray(row.picture))
        for pixels, saliency in zip(shown[1:], row.maps.values(), strict=True):
            np.testing.assert_array_equal(pixels, np.asarray(overlay(row.picture, saliency)))
    boxes = {patch.get_bbox().bounds for patch in grid[1, 0].patches if isinstance(patch, Rectangle)}
    assert boxes == {(1.5, 3.5, 8, 16), (9.5, 3.5, 10, 16)}
    for cells in grid[:, 1:].flat:
        assert not cells.patches


@pytest.mark.parametrize(
    ("methods", "width"),
    [
        (["sise"], COLUMN),
        (["extremal_perturbation", "sise", "ada_sise"], COLUMN),
        (["extremal_perturbation", "sise", "ada_sise", "a_label_without_any_end", "b", "c"], TWO_COLUMNS),
    ],
)
def test_text_is_legible(methods: list[str], width: float) -> None:
    figure = draw(rows(*methods), "Stand-in weights, not the published model: not comparable with the paper.")
    assert figure.get_figwidth() == width
    assert_legible(figure)
    written = {text.text for text in drawn_texts(figure)}
    assert {"Picture", "dog\nΨ = 2.0e-05", "000001", "2008_$x$"} <= written
    assert any(text.replace("\n", "") == "diningtableΨ = 0.9956" for text in written)
    assert "SISE" in written


def test_many_methods_go_on_in_further_lines() -> None:
    methods = [f"method_{number}" for number in range(10)]
    figure = draw(rows(*methods), "Some network.")
    assert figure.get_figwidth() == TWO_COLUMNS
    assert_legible(figure)
    grid = np.array(figure.axes).reshape(4, 6)
    titles = [[axes.get_title() for axes in line] for line in grid]
    assert titles == [["Picture", *methods[:5]], ["", *methods[5:]]] * 2
    shown = [[bool(axes.images) for axes in line] for line in grid]
    assert shown == [[True] * 6, [False, *[True] * 5]] * 2
    drawn = rows(*methods)[1]
    for axes, label in zip(grid[3, 1:], methods[5:], strict=True):
        np.testing.assert_array_equal(
            axes.images[0].get_array(), np.asarray(overlay(drawn.picture, drawn.maps[label]))
        )


def test_the_note_says_what_the_maps_are_of(saved: SavedMaps) -> None:
    figure = draw([saved.row(pair) for pair in saved.sample(1, 0)], saved.note)
    written = texts(figure)
    assert "scenes_vgg, drawn scenes. Not photographs: not comparable with the paper." in written
    assert "Colours run from a map's lowest value to its 99th percentile" in written
    assert "Ψ: the network's score of the class for the whole picture (softmax)." in written


def test_long_ids_keep_the_end_that_tells_them_apart() -> None:
    assert shortened("000027", 6) == "000027"
    assert shortened("COCO_val2014_000000000042", 8) == "…0000042"
    assert shortened("COCO_val2014_000000000042", 0) == "…2"


def test_dollars_in_a_class_are_letters() -> None:
    row = rows("sise")[0]
    odd = replace(row, class_name="a $^$ b", boxes=())
    written = {text.text for text in drawn_texts(draw([odd], "Some network."))}
    assert "a $^$ b\nΨ = 0.9956" in written


def test_a_long_name_of_a_class_goes_on_below_its_picture() -> None:
    row = replace(rows("sise", "b", "c", "d", "e")[0], class_name="a class with_a_name without_any_end " * 2)
    figure = draw([row, row], "Some network.")
    assert_legible(figure)
    width = figure.axes[0].get_window_extent().width
    below = figure.axes[0].xaxis.label
    assert below.get_window_extent().width < 1.1 * width
    assert " ".join(below.get_text().split()).endswith("end Ψ = 0.9956")


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1)])
def test_a_picture_of_odd_proportions_does_not_make_the_figure_huge(size: tuple[int, int]) -> None:
    long = Image.new("RGB", size)
    figure = draw([replace(rows("sise")[0], picture=long, boxes=())], "Some network.")
    assert figure.get_figheight() < 10
    assert_legible(figure)


def test_more_rows_than_can_be_drawn_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"300 rows would be \d+ inches high.* draw fewer"):
        draw(rows("sise") * 150, "Some network.")


def test_a_turned_box_is_drawn_turned() -> None:
    box = Box("diningtable", 11, 11, 30, 20, rotation=30)
    figure = draw([replace(rows("sise")[0], boxes=[box])], "Some network.")
    patch = next(patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle))
    corners = patch.get_patch_transform().transform(patch.get_path().vertices[:4])
    radians = np.deg2rad(30)
    turn = np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    upright = np.array([[-10, -5], [10, -5], [10, 5], [-10, 5]])
    # matplotlib puts the centre of the first pixel at 0
    np.testing.assert_allclose(corners, upright @ turn.T + (20 - 0.5, 15 - 0.5))
