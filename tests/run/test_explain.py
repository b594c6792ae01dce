"""``explain``: what is printed and written for a person's own picture."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from conftest import save_turned
from PIL import Image

from adasise_bench.cli import main
from adasise_bench.data.scenes import SCENE_CLASSES, draw_scene, embedded_root
from adasise_bench.models.classifier import Classifier
from adasise_bench.records import folder as run_folder
from adasise_bench.reporting.captions import score_line, score_text
from adasise_bench.run import explain, scored_picture
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.run.scored_picture import explain_config, open_subject
from adasise_bench.utils.errors import BenchError

SIDE = 32
ENGINE = ["engine.layout=contiguous", "engine.batch_size=16"]
QUICK = [argument for setting in (*ENGINE, f"data.input_size={SIDE}") for argument in ("--set", setting)]


def call(image: Path | str, *arguments: str | Path, model: str = "scenes_vgg") -> Result:
    command = ["explain", str(image), "--model", model, *QUICK, *map(str, arguments)]
    return CliRunner().invoke(main, command)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def scene(folder: Path) -> Path:
    path = folder / "scene.png"
    Image.fromarray(draw_scene(5, 0).pixels).save(path)
    return path


def test_prints_the_top_classes_and_writes_every_result(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_BAR_DELAY", 0)
    result = call(scene, "--top", "3")
    assert result.exit_code == 0, result.output
    found = [line.split() for line in result.stdout.splitlines()]
    config = explain_config("scenes_vgg", ["sise"], overrides=[*ENGINE, f"data.input_size={SIDE}"])
    scores = open_subject(scene, config).scores
    expected = sorted(scores.items(), key=lambda entry: -entry[1])[:3]
    assert found == [[str(rank), name, score_text(score)] for rank, (name, score) in enumerate(expected, 1)]
    assert set(scores) == set(SCENE_CLASSES)
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    top = expected[0][0]
    names = {path.name for path in Path("explain-scene").iterdir()} - {".lock"}
    assert names == {"explanation.json", "side_by_side.png"} | {
        f"{method}_{top}.{suffix}" for method in ("sise", "ada_sise") for suffix in ("npy", "png")
    }
    for method in ("sise", "ada_sise"):
        saliency = np.load(f"explain-scene/{method}_{top}.npy")
        assert saliency.dtype == np.float32
        assert saliency.shape == (SIDE, SIDE)
        assert saliency.max() == 1
        with Image.open(f"explain-scene/{method}_{top}.png") as drawn, Image.open(scene) as picture:
            assert drawn.size == picture.size
    assert "not the published weights: scenes_vgg.safetensors" in result.stderr
    assert "says nothing about photographs" in result.stderr
    assert "2 explanations in explain-scene" in result.stderr
    assert "it/s" not in result.stderr
    facts = json.loads(Path("explain-scene/explanation.json").read_text())
    assert facts["scores"] == scores
    assert facts["model"]["published"] is False
    assert facts["explained"] == [top]
    assert [method["name"] for method in facts["settings"]["methods"]] == ["sise", "ada_sise"]


@pytest.mark.parametrize("resize", ["stretch", "short-side"])
def test_maps_are_those_of_a_run(folder: Path, resize: str) -> None:
    perturbation = {"name": "extremal_perturbation", "iterations": 4, "areas": [0.1], "step": 12, "sigma": 12}
    tree = {
        "data": {"root": "embedded", "input_size": SIDE, "resize": resize},
        "models": {"scenes_vgg": {}},
        "methods": ["sise", perturbation, "ada_sise"],
        "engine": {"layout": "contiguous", "batch_size": 16},
        "limit": 1,
        "save_maps": True,
    }
    run(validate(tree, "test"), folder / "run")
    maps = sorted((folder / "run/maps/scenes_vgg").rglob("*.npy"))
    image_id, name = maps[0].stem.split("_")
    picture = embedded_root() / f"VOCdevkit/VOC2007/JPEGImages/{image_id}.jpg"
    settings = ["methods.extremal_perturbation." + option for option in
                ("iterations=4", "areas=[0.1]", "step=12", "sigma=12")]  # fmt: skip
    flags = [argument for setting in (*settings, f"data.resize={resize}") for argument in ("--set", setting)]
    methods = "sise,extremal_perturbation,ada_sise"
    result = call(picture, "--methods", methods, "--class", name, "--output", "out", *flags)
    assert result.exit_code == 0, result.output
    for method in methods.split(","):
        mine = Path(f"out/{method}_{name}.npy").read_bytes()
        assert mine == (folder / f"run/maps/scenes_vgg/{method}/{image_id}_{name}.npy").read_bytes()


def test_side_by_side_holds_classes_and_methods_in_the_order_asked_for(
    scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    draw = explain.side_by_side

    def look(rows: object, small_print: str) -> object:
        seen.append((rows, small_print))
        return draw(rows, small_print)  # type: ignore[arg-type]

    monkeypatch.setattr(explain, "side_by_side", look)
    perturbation = "methods.extremal_perturbation={name: extremal_perturbation, iterations: 2}"
    result = call(scene, "--methods", "ada_sise,extremal_perturbation,sise", "--class", "star",
                  "--class", "ring", "--class", "star", "--set", perturbation)  # fmt: skip
    assert result.exit_code == 0, result.output
    rows, small_print = seen[0]
    scores = json.loads(Path("explain-scene/explanation.json").read_text())["scores"]
    assert [[panel.title for panel in row] for row in rows] == [
        [f"{name}\n{score_line(scores[name])}", "Ada-SISE", "Extremal Perturbation", "SISE"]
        for name in ("star", "ring")
    ]
    assert "not the published weights" in small_print
    assert "Extremal Perturbation: iterations=2." in small_print
    for panel, method in zip(rows[1][1:], ("ada_sise", "extremal_perturbation", "sise"), strict=True):
        with Image.open(f"explain-scene/{method}_ring.png") as drawn:
            np.testing.assert_array_equal(np.asarray(drawn), np.asarray(panel.picture))
    ranked = [line.split()[1] for line in result.stdout.splitlines()]
    assert {"star", "ring"} <= set(ranked)


def test_a_turned_picture_gives_the_results_of_the_upright_one(folder: Path) -> None:
    upright = draw_scene(5, 1).pixels
    for orientation in range(1, 9):
        save_turned(folder / "turned.png", orientation, upright)
        result = call("turned.png", "--methods", "ada_sise", "--class", "disc", "--output", f"{orientation}")
        assert result.exit_code == 0, result.output
        for name in ("ada_sise_disc.npy", "ada_sise_disc.png", "side_by_side.png"):
            assert Path(f"{orientation}", name).read_bytes() == Path("1", name).read_bytes()
    with Image.open("1/ada_sise_disc.png") as drawn:
        assert drawn.size == (upright.shape[1], upright.shape[0])


@pytest.mark.parametrize("resize", ["stretch", "short-side"])
@pytest.mark.parametrize("size", [(1, 1), (150, 12), (12, 150)])
def test_tiny_and_elongated_pictures(folder: Path, size: tuple[int, int], resize: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "odd.png")
    result = call("odd.png", "--methods", "ada_sise", "--class", "disc", "--set", f"data.resize={resize}")
    assert result.exit_code == 0, result.output
    saliency = np.load("explain-odd/ada_sise_disc.npy")
    long_side = SIDE if resize == "stretch" else SIDE * max(size) // min(size)
    assert sorted(saliency.shape) == [SIDE, long_side]
    assert (saliency.shape[0] > saliency.shape[1]) == (size[1] > size[0] and resize == "short-side")
    with Image.open("explain-odd/ada_sise_disc.png") as drawn:
        assert drawn.size == size


def test_a_picture_too_elongated_for_its_input_is_refused(folder: Path) -> None:
    Image.new("RGB", (1, 3000)).save(folder / "thread.png")
    result = call("thread.png", "--set", "data.resize=short-side")
    assert result.exit_code == 3
    assert "input would have 32x96000 pixels; use data.resize=stretch" in result.stderr


def test_overlays_of_large_pictures_are_shrunk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain, "_MAX_SIDE", 100)
    Image.fromarray(draw_scene(5, 0).pixels).resize((400, 300)).save(folder / "large.png")
    assert call("large.png", "--methods", "sise", "--class", "ring").exit_code == 0
    with Image.open("explain-large/sise_ring.png") as drawn:
        assert drawn.size == (100, 75)


def test_a_flat_map_is_said_to_be_flat(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (20, 20), (124, 117, 104)).save(folder / "grey.png")
    titles = []
    draw = explain.side_by_side
    monkeypatch.setattr(
        explain,
        "side_by_side",
        lambda rows, text: titles.extend(p.title for p in rows[0]) or draw(rows, text),
    )
    monkeypatch.setattr("adasise_bench.methods.sise.sise.fuse", lambda layers, *_rules: 0 * layers[0])
    assert call("grey.png", "--methods", "sise").exit_code == 0
    assert titles[1] == "SISE\nno evidence: all pixels are equal"


def test_several_frames_are_said(folder: Path) -> None:
    frames = [Image.new("RGB", (30, 30), colour) for colour in ("white", "black")]
    frames[0].save(folder / "moving.gif", save_all=True, append_images=frames[1:])
    result = call("moving.gif", "--methods", "ada_sise")
    assert result.exit_code == 0, result.output
    assert "moving.gif: holds several frames; the first is explained" in result.stderr


def test_the_small_print_can_be_left_out_and_stays_in_the_metadata(scene: Path) -> None:
    heights = {}
    for option in ("--footer", "--no-footer"):
        result = call(scene, "--methods", "gradient", option, "--output", option[2:])
        assert result.exit_code == 0, result.output
        with Image.open(f"{option[2:]}/side_by_side.png") as drawn:
            heights[option] = drawn.height
            assert "not the published weights" in drawn.info["Description"]
    assert heights["--no-footer"] < heights["--footer"]


def test_a_bar_counts_the_masks_on_a_terminal(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(explain, "_BAR_DELAY", 0)
    monkeypatch.setattr(sys, "stderr", terminal)
    overrides = [*ENGINE, f"data.input_size={SIDE}", "methods.extremal_perturbation.iterations=5"]
    config = explain_config("scenes_vgg", ["sise", "extremal_perturbation"], overrides=overrides)
    explain.explain_picture(open_subject(scene, config), Path("out"))
    shown = terminal.getvalue()
    for title in ("SISE: 100%", "Extremal Perturbation: 100%"):
        assert title in shown
    assert "4/4" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--class", "disk"], 2, "did you mean 'disc'"),
        (["--methods", "ada_sis"], 2, "did you mean 'ada_sise'"),
        (["--methods", ""], 2, "methods"),
        (["--methods", "sise,sise"], 2, "used twice"),
        (["--set", "methods.sise.nu=1"], 2, "did you mean 'mu'"),
        (["--set", "data.root=/nowhere"], 2, "--set data.root: not a setting for explaining a picture"),
        (["--set", "models.vgg16.blocks=pool-output"], 2, "models.vgg16: needs PASCAL VOC"),
        (["--set", "score"], 2, "write it as key=value"),
        (["--top", "0"], 2, "--top"),
        (["--checkpoint", "absent.safetensors"], 3, "absent.safetensors"),
        (["--sha256", "deadbeef"], 3, "deadbeef"),
        (["--device", "cuda:77"], 4, "cuda:77"),
        (["--output", "/proc/nowhere"], 5, "/proc/nowhere"),
    ],
)
def test_mistakes_end_in_one_line_and_their_exit_code(
    scene: Path, arguments: list[str], code: int, message: str
) -> None:
    result = call(scene, *arguments)
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert sum(line.startswith("Error:") for line in result.stderr.splitlines()) == 1
    assert not Path("explain-scene").exists()


def test_unknown_models_and_a_second_model_are_refused(scene: Path) -> None:
    assert "did you mean 'resnet50'" in call(scene, model="resnet5").stderr
    second = call(scene, "--set", "models.vgg16={}", model="resnet50")
    assert second.exit_code == 2
    assert "one model is explained at a time, here resnet50" in second.stderr


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n damaged", None])
def test_unusable_pictures_end_in_3_and_leave_no_folder(folder: Path, content: bytes | None) -> None:
    if content is not None:
        (folder / "bad.png").write_bytes(content)
    result = call("bad.png")
    assert result.exit_code == 3
    assert result.stderr.startswith("Error: bad.png:")
    assert len(result.stderr.splitlines()) == 1
    assert not Path("explain-bad").exists()


def test_earlier_explanations_are_moved_aside_and_other_files_left_alone(scene: Path) -> None:
    assert call(scene, "--methods", "sise", "--class", "disc").exit_code == 0
    before = Path("explain-scene/sise_disc.npy").read_bytes()
    assert call(scene, "--methods", "sise", "--class", "ring").exit_code == 0
    assert Path("explain-scene.1/sise_disc.npy").read_bytes() == before
    assert not Path("explain-scene/sise_disc.npy").exists()
    Path("mine").mkdir()
    Path("mine/thesis.txt").write_text("years of work")
    result = call(scene, "--output", "mine")
    assert result.exit_code == 5
    assert "mine: holds other files and no explanation; choose another --output" in result.stderr
    assert not result.stdout
    assert [path.name for path in Path("mine").iterdir()] == ["thesis.txt"]


def test_a_folder_in_use_is_refused(scene: Path) -> None:
    with run_folder.exclusive(Path("out")):
        result = call(scene, "--output", "out")
    assert result.exit_code == 5
    assert "another run is writing here" in result.stderr


def test_values_that_are_not_finite_are_one_line(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "adasise_bench.methods.sise.sise.fuse", lambda layers, *_rules: layers[0] * float("nan")
    )
    result = call(scene, "--methods", "sise", "--class", "disc")
    assert result.exit_code == 1
    assert "sise: the map of disc is not finite" in result.stderr
    scores = Classifier.reference_scores
    monkeypatch.setattr(Classifier, "reference_scores", lambda *args: scores(*args) * float("nan"))
    with pytest.raises(BenchError, match="the scores are not finite"):
        open_subject(scene, explain_config("scenes_vgg", ["sise"], overrides=ENGINE))


def test_published_weights_are_named_without_a_warning(scene: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from adasise_bench.models.classifier import Weights

    load = scored_picture.network.load
    published = Weights("vgg16_voc-b050e8c3.pth.tar", "b050e8c3" + "0" * 56, True)
    monkeypatch.setattr(
        scored_picture.network, "load", lambda *arguments: replace(load(*arguments), weights=published)
    )
    opened = open_subject(scene, explain_config("scenes_vgg", ["sise"], overrides=ENGINE))
    assert list(opened.notes()) == []
    assert "TorchRay's published weights: vgg16_voc-b050e8c3.pth.tar" in opened.weights_note()
