"""The interface for Python: it gives what the command line gives, and a notebook shows it."""

from __future__ import annotations

import io
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from conftest import TinyVGG, save_turned
from PIL import Image

from adasise_bench import api
from adasise_bench.cli import main
from adasise_bench.data.boxes import Box
from adasise_bench.data.pictures import picture_of, read_picture
from adasise_bench.data.scenes import draw_scene, embedded_root
from adasise_bench.metrics.registry import COMPUTED, EXTRA
from adasise_bench.records.reading import read_records
from adasise_bench.reporting.overlay import COLOURING

SIDE = 32
SETTINGS = {"data.input_size": SIDE, "engine.layout": "contiguous", "engine.batch_size": 16}
CONFIG = {
    "data": {"root": "embedded", "input_size": SIDE},
    "models": {"scenes_vgg": {}},
    "methods": ["sise", "centre"],
    "extra_metrics": ["head_sensitivity", "insertion"],
    "engine": {"layout": "contiguous", "batch_size": 16},
    "device": "cpu",
    "limit": 2,
    "save_maps": True,
}


@pytest.fixture(scope="module")
def model() -> api.Model:
    return api.load_model("scenes_vgg", settings=SETTINGS, device="cpu")


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return api.run(CONFIG, tmp_path_factory.mktemp("api") / "run")


def picture_path(image_id: str) -> Path:
    return embedded_root() / f"VOCdevkit/VOC2007/JPEGImages/{image_id}.jpg"


def whole(saliency: api.SaliencyMap) -> tuple[int, int, int, int]:
    return (0, 0, *saliency.picture.size)


def test_importing_it_imports_nothing_heavy() -> None:
    heavy = "'torch', 'numpy', 'pandas', 'matplotlib', 'PIL', 'pydantic', 'click'"
    code = f"import sys; import adasise_bench.api; print(sorted(set(sys.modules) & {{{heavy}}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_map_is_that_of_the_command_line(model: api.Model, tmp_path: Path) -> None:
    path = tmp_path / "scene.png"
    Image.fromarray(draw_scene(5, 0).pixels).save(path)
    saliency = api.explain(model, path, {"name": "sise", "mu": 0.3})
    sets = [word for key, value in SETTINGS.items() for word in ("--set", f"{key}={value}")]
    arguments = ["--model", "scenes_vgg", "--methods", "sise", "--set", "methods.sise.mu=0.3", *sets]
    result = CliRunner().invoke(main, ["explain", str(path), *arguments, "--output", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    (file,) = (tmp_path / "out").glob("sise_*.npy")
    np.testing.assert_array_equal(np.load(file), saliency.values)
    assert file.stem == f"sise_{saliency.class_name}"
    assert saliency.values.dtype == np.float32
    assert saliency.score == max(model.scores(path).values())
    with Image.open(file.with_suffix(".png")) as drawn:
        np.testing.assert_array_equal(np.asarray(drawn), np.asarray(saliency.overlay()))


def test_maps_and_metrics_are_those_of_a_run(model: api.Model, records: pd.DataFrame) -> None:
    compared = 0
    for record in records.to_dict("records"):
        saliency = api.explain(
            model, picture_path(record["image_id"]), record["method"], record["class_name"]
        )
        folder = Path(records.attrs["folder"]) / "maps/scenes_vgg" / record["method"]
        stored = np.load(folder / f"{record['image_id']}_{record['class_name']}.npy")
        np.testing.assert_array_equal(stored, saliency.values)
        xml = picture_path(record["image_id"]).parents[1] / f"Annotations/{record['image_id']}.xml"
        metrics = api.evaluate(saliency, boxes_of(xml), extra_metrics=["insertion", "head_sensitivity"])
        assert list(metrics) == [name for name in COMPUTED if name in metrics]
        assert {"ebpg", "drop", "insertion", "head_sensitivity"} <= set(metrics)
        for name, value in metrics.items():
            assert value == (None if pd.isna(record[name]) else record[name]), name
            compared += 1
        assert saliency.score == record["score"]
    assert compared >= 4 * len(metrics)


def boxes_of(xml: Path) -> list[Box]:
    from adasise_bench.data.loading import open_dataset
    from adasise_bench.run.config_file import validate

    dataset = open_dataset(validate(CONFIG, "test").data)
    return list(dataset.annotation(xml.stem).boxes)


def test_boxes_are_counted_from_the_corner_as_pillow_does(model: api.Model) -> None:
    """A map that is 1 on the left half: a box of the left quarter holds half of its energy."""
    left = np.zeros((SIDE, SIDE))
    left[:, : SIDE // 2] = 1
    saliency = api.SaliencyMap(left, np.zeros((40, 80, 3), np.uint8), "disc")
    metrics = api.evaluate(saliency, [(0, 0, 20, 40)], model)
    assert metrics["ebpg"] == 50
    assert api.evaluate(saliency, [(0, 0, 40, 40)], model)["ebpg"] == 100
    assert api.evaluate(saliency, [(40, 0, 80, 40)], model)["ebpg"] == 0
    assert api.evaluate(saliency, [(0, 0, 40, 40)], model)["bbox"] == 100
    assert metrics == api.evaluate(saliency, [Box("disc", 1, 1, 20, 40)], model)
    assert set(metrics).isdisjoint(EXTRA)


def test_a_box_covers_the_pixels_between_its_edges(model: api.Model) -> None:
    """Column 16, row 3 lies between the edges 16 and 17, 3 and 4; the pixels beside it do not."""
    values = np.zeros((SIDE, SIDE))
    values[3, 16] = 1
    saliency = api.SaliencyMap(values, np.zeros((SIDE, SIDE, 3), np.uint8), "disc")
    for left, top, expected in ((16, 3, 100), (15, 3, 0), (17, 3, 0), (16, 2, 0), (16, 4, 0)):
        box = (left, top, left + 1, top + 1)
        assert api.evaluate(saliency, [box], model)["ebpg"] == expected, box


def test_a_module_is_copied_and_gives_the_values_of_its_source(
    model: api.Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    module = TinyVGG().train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    facts: dict[str, Any] = {"classes": list("abcd"), "mean": [0.5] * 3, "std": [0.25] * 3}
    mine = api.load_model(module, name="mine", settings=SETTINGS, device="cpu", **facts)
    scene = draw_scene(5, 0).pixels
    saliency = api.explain(mine, scene, "grad_cam", "b")
    assert module.training
    assert all(parameter.requires_grad for parameter in module.parameters())
    for name, value in module.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    torch.save(module.state_dict(), tmp_path / "tiny.pth")
    (tmp_path / "tiny_source.py").write_text(
        "from conftest import TinyVGG\ndef make():\n    return TinyVGG()\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    source = facts | {"source": "tiny_source:make", "checkpoint": tmp_path / "tiny.pth"}
    theirs = api.load_model("tiny", settings=SETTINGS, device="cpu", **source)
    expected = api.explain(theirs, scene, "grad_cam", "b")
    np.testing.assert_array_equal(saliency.values, expected.values)
    assert saliency.score == expected.score
    assert mine.classifier.definition == "python:TinyVGG"
    assert "TinyVGG" in mine.classifier.weights.file
    other = api.load_model(TinyVGG(), settings=SETTINGS, device="cpu", **facts)
    assert other.name == "TinyVGG"
    assert other.classifier.weights.sha256 != mine.classifier.weights.sha256


def test_records_are_those_of_the_folder(records: pd.DataFrame, tmp_path: Path) -> None:
    folder = Path(records.attrs["folder"])
    pd.testing.assert_frame_equal(records, read_records(folder))
    results = api.load_run(folder)
    pd.testing.assert_frame_equal(results.records, read_records(folder))
    assert repr(results) == f"<Results in {folder}: {len(records)} records>"
    assert results.config["extra_metrics"] == ["insertion", "head_sensitivity"]
    assert results.environment["data"]["images"] == 2
    again = api.run(CONFIG, folder)  # keeps all
    pd.testing.assert_frame_equal(again, records)


def test_a_configuration_may_be_a_file_and_settings_change_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "data: {root: embedded, input_size: 32}\nmodels: {scenes_vgg: {}}\nmethods: [centre, random]\n"
    )
    settings = {"limit": 1, "methods": ["centre"], "engine.batch_size": 4, "engine.layout": "contiguous"}
    records = api.run(path, tmp_path / "run", settings=settings, devices=["cpu"])
    assert set(records["method"]) == {"centre"}
    assert records["image_id"].nunique() == 1
    assert api.load_run(tmp_path / "run").config["name"] == "mine"
    assert CONFIG["limit"] == 2


def test_explanations_that_fail_are_a_warning_and_stay_in_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing.py").write_text(
        "def saliency(model, image, target):\n    raise ValueError('planted')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    config = CONFIG | {"methods": ["failing:saliency"], "extra_metrics": [], "limit": 1}
    with pytest.warns(UserWarning, match="of the explanations failed"):
        records = api.run(config, tmp_path / "run")
    assert records["error"].str.contains("planted").all()


def test_tables_are_those_of_the_command_line(records: pd.DataFrame) -> None:
    folder = records.attrs["folder"]
    tables = api.load_run(folder).tables(metrics=["ebpg", "drop"], against="centre")
    arguments = [folder, "--metrics", "ebpg,drop", "--against", "centre"]
    for fmt in ("md", "latex", "csv", "json"):
        printed = CliRunner().invoke(main, ["table", *arguments, "--format", fmt])
        assert tables.text(fmt) == printed.stdout.removesuffix("\n"), fmt
    assert str(tables) == tables.text("terminal")
    cells = tables.frame()
    ebpg = cells.query("table == 'table1' and metric == 'ebpg' and method == 'sise'")["measured"]
    mean = records.loc[records["method"] == "sise", "ebpg"].mean()
    assert float(ebpg.iloc[0]) == pytest.approx(mean)
    with pytest.raises(api.BenchError, match="no format 'markdown'"):
        tables.text("markdown")


class Cells(HTMLParser):
    """The texts of all cells, and the tags that are still open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, _attributes: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, text: str) -> None:
        self.texts.append(text)


def test_a_notebook_shows_tables_and_metrics_as_html(records: pd.DataFrame, model: api.Model) -> None:
    results = api.load_run(records.attrs["folder"])
    shown = Cells(results._repr_html_())
    assert not shown.open
    assert {"SISE", "Image centre", "Table 1, VGG16 (scenes)"} & set(shown.texts) >= {"SISE"}
    assert any(text.startswith("EBPG, %") for text in shown.texts)
    saliency = api.SaliencyMap(np.ones((SIDE, SIDE)), np.zeros((40, 80, 3), np.uint8), "disc")
    metrics = api.evaluate(saliency, [whole(saliency)], model)
    cells = Cells(metrics._repr_html_())
    assert not cells.open
    assert cells.texts.count("100.00") >= 2  # EBPG and Bbox
    assert api.Metrics(ebpg=None)._repr_html_().count("<td>-</td>") == 1


def test_names_from_outside_are_escaped(records: pd.DataFrame) -> None:
    tables = api.load_run(records.attrs["folder"]).tables().tables
    from dataclasses import replace

    hostile = replace(tables, tables=tuple(replace(t, title="<script>x</script>") for t in tables.tables))
    assert "<script>" not in api.ResultTables(hostile)._repr_html_()


def test_a_notebook_shows_the_map_over_its_picture() -> None:
    pixels = np.full((90, 120, 3), 200, np.uint8)
    values = np.zeros((30, 40))
    values[:15] = 1
    saliency = api.SaliencyMap(values, pixels, "dog", method="ada_sise", score=0.25)
    drawn = np.asarray(saliency.overlay()).astype(int)
    assert drawn.shape == pixels.shape
    assert np.ptp(drawn[80:], axis=2).max() == 0  # grey where the map is 0
    assert np.ptp(drawn[:40], axis=2).min() > 50  # coloured where it is 1
    texts = [text.get_text() for text in saliency.figure().texts]
    assert texts[:2] == ["dog\nΨ = 0.2500", "Ada-SISE"]
    assert " ".join(texts[2:]) == COLOURING
    with Image.open(io.BytesIO(saliency._repr_png_())) as shown:
        assert shown.format == "PNG"
        assert 300 < shown.width < 1600
        assert np.ptp(np.asarray(shown.convert("RGB")).astype(int), axis=2).max() > 50


def test_the_foot_of_a_map_says_which_network_and_options_made_it() -> None:
    model = api.load_model("scenes_vgg", settings={"data.input_size": 32}, device="cpu")
    pixels = draw_scene(5, 1).pixels
    saliency = api.explain(model, pixels, {"name": "ada_sise", "fusion": "soft"})
    foot = " ".join(text.get_text() for text in saliency.figure().texts[2:])
    network, _, rest = foot.partition(". Ψ: ")
    assert network.startswith("scenes_vgg (for drawn scenes; it says nothing about photographs), not the")
    assert rest.startswith(f"the network's score of the class for the whole picture (softmax). {COLOURING}")
    assert rest.endswith(" Ada-SISE: fusion=soft.")


def test_numpy_reads_a_map() -> None:
    saliency = api.SaliencyMap([[0, 1], [2, 3]], np.zeros((2, 2, 3), np.uint8), "dog")  # type: ignore[arg-type]
    assert np.asarray(saliency).sum() == 6
    assert np.asarray(saliency, dtype=np.float64).dtype == np.float64


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_in_memory_are_read_as_their_files(tmp_path: Path, orientation: int) -> None:
    path = save_turned(tmp_path / "turned.png", orientation, draw_scene(5, 1).pixels)
    with Image.open(path) as image:
        mine = picture_of(image)
    np.testing.assert_array_equal(np.asarray(mine.image), np.asarray(read_picture(path).image))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"])
def test_pictures_of_every_mode_become_rgb(mode: str) -> None:
    grey = Image.fromarray(np.arange(0, 240, dtype=np.uint8).reshape(12, 20))
    image = Image.new("I;16", (20, 12), 257 * 77) if mode == "I;16" else grey.convert("RGB").convert(mode)
    assert picture_of(image).image.mode == "RGB"
    assert picture_of(image).image.size == (20, 12)
    if mode == "I;16":
        assert picture_of(image).image.getpixel((0, 0)) == (77, 77, 77)


def test_transparency_in_memory_lies_over_white() -> None:
    assert picture_of(Image.new("RGBA", (2, 2), (0, 0, 0, 0))).image.getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, s: api.load_model("resnet5"), "did you mean 'resnet50'"),
        (lambda m, s: api.load_model("scenes_vgg", device="tpu"), "device: must be auto, cpu"),
        (lambda m, s: api.load_model("scenes_vgg", settings={"limit": 3}), "limit: not a setting"),
        (lambda m, s: api.load_model("scenes_vgg", checkpoints="x"), "did you mean 'checkpoint'"),
        (lambda m, s: api.load_model(TinyVGG(), classes=["a"] * 2), "is there twice"),
        (lambda m, s: api.load_model(TinyVGG()), "say how pictures are normalised"),
        (lambda m, s: api.explain(m, s.picture, "ada_sis"),
         "explain: methods: no method 'ada_sis'; did you mean 'ada_sise'"),
        (lambda m, s: api.explain(m, s.picture, {"name": "sise", "nu": 1}), "did you mean 'mu'"),
        (lambda m, s: api.explain(m, s.picture, "sise", "disk"), "did you mean 'disc'"),
        (lambda m, s: api.explain(m, s.picture, "box_oracle"), "needs the class's boxes"),
        (lambda m, s: api.explain(m, "absent.jpg"), "absent.jpg: cannot read the picture"),
        (lambda m, s: api.explain(m, np.zeros((4, 4))), "is no picture; give"),
        (lambda m, s: api.evaluate(s, [whole(s)]), "no network is known"),
        (lambda m, s: api.evaluate(s, [], m), "no box of disc"),
        (lambda m, s: api.evaluate(s, [(0, 0, 99, 9)], m), "is not on the picture of 80x40 pixels"),
        (lambda m, s: api.evaluate(s, [(9, 0, 9, 9)], m), "is not on the picture"),
        (lambda m, s: api.evaluate(s, [whole(s)], m, ["insertio"]), "did you mean 'insertion'"),
        (lambda m, s: api.evaluate(s, [whole(s)], m, ["head_sensitivity"]), "method of this map is not"),
        (lambda m, s: api.evaluate(with_values(s, -s.values), [whole(s)], m), "negative values, down to"),
        (lambda m, s: api.evaluate(with_values(s, np.ones((9, 9))), [whole(s)], m), "input has 32x32"),
        (lambda m, s: api.evaluate(api.SaliencyMap(s.values, s.picture, "dog"), [whole(s)], m), "no class"),
        (lambda m, s: with_values(s, s.values * np.nan), "NaN or infinite"),
        (lambda m, s: api.run({"models": {"vgg16": {}}}), "methods"),
        (lambda m, s: api.run("absent.yaml"), "absent.yaml: cannot read the configuration"),
        (lambda m, s: api.load_run("absent"), "absent"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(model: api.Model, call: Any, message: str) -> None:
    saliency = api.SaliencyMap(np.ones((SIDE, SIDE)), np.zeros((40, 80, 3), np.uint8), "disc")
    with pytest.raises(api.BenchError) as caught:
        call(model, saliency)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def with_values(saliency: api.SaliencyMap, values: Any) -> api.SaliencyMap:
    return api.SaliencyMap(values, saliency.picture, saliency.class_name)
