"""``adasise-bench figure`` as a user meets it, and the ablation's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from figure_checks import ADA_SISE, SISE, make_run, record
from PIL import Image

from adasise_bench.cli import main
from adasise_bench.methods.masking import score_masks
from adasise_bench.methods.sise import sise
from adasise_bench.records.reading import read_records
from adasise_bench.reporting.published import published_scores
from adasise_bench.run.config_file import load_config
from adasise_bench.run.runner import run

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SCENES = ["--set", "data={root: embedded, input_size: 32}", "--set", "models={scenes_vgg: {}}"]


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_each_figure_is_drawn_from_one_ablation_run(tmp_path: Path) -> None:
    out = tmp_path / "run"
    ablation = ["--config", CONFIGS / "mu_ablation.yaml", *SCENES]
    made = call("run", *ablation, "--limit", "1", "--save-maps", "--output", out)
    assert made.exit_code == 0, made.output
    image = read_records(out)["image_id"].iloc[0]
    class_name = read_records(out)["class_name"].iloc[0]
    for arguments in (
        ["mu", out],
        ["kept", out, "--methods", "sise,ada_sise", "--model", "scenes_vgg"],
        ["maps", out, "--image", f"{image}:{class_name}", "--methods", "sise,ada_sise"],
        ["maps", out, "--random", "1", "--seed", "3", "--methods", "sise"],
        ["gradients", *ablation, "--image", f"{image}:{class_name}", "--device", "cpu"],
    ):
        path = tmp_path / f"{arguments[0]}.png"
        result = call("figure", *arguments, "--output", path)
        assert result.exit_code == 0, result.output
        assert result.output == ""
        assert path.read_bytes().startswith(b"\x89PNG")
    refused = call("figure", "phases", out, "--output", tmp_path / "phases.png")
    assert refused.exit_code == 3
    assert "share_forwards=false" in refused.stderr


def test_phases_are_drawn(tmp_path: Path) -> None:
    timed = make_run(tmp_path / "run", [record("sise", "1", seconds=1.0, seconds_scoring=0.9)])
    assert call("figure", "phases", timed.folder, "--output", tmp_path / "a.svg").exit_code == 0
    assert (tmp_path / "a.svg").read_text().rstrip().endswith("</svg>")


def test_the_line_at_the_foot_can_be_left_out(tmp_path: Path) -> None:
    timed = make_run(tmp_path / "run", [record("sise", "1", seconds=1.0, seconds_scoring=0.9)])
    heights = []
    for option in ("--footer", "--no-footer"):
        path = tmp_path / f"{option}.png"
        assert call("figure", "phases", timed.folder, "--output", path, option).exit_code == 0
        with Image.open(path) as picture:
            heights.append(picture.height)
            assert "Measured on Some CPU, fp32." in picture.info["Description"]
    assert heights[0] > heights[1] + 60
    for name in ("gradients", "chance", "maps", "phases", "mu", "kept"):
        assert "--no-footer" in call("figure", name, "--help").output


def test_the_ablation_scores_no_more_masks_than_sise_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[int] = []

    def count(classifier: Any, image: Any, maps: Any) -> Any:
        scored.append(sum(map(len, maps)))
        return score_masks(classifier, image, maps)

    monkeypatch.setattr(sise, "score_masks", count)
    counts = []
    for methods in ([], ["sise"]):
        config = load_config(CONFIGS / "mu_ablation.yaml", [*SCENES[1::2], "limit=2"], methods=methods)
        run(config, tmp_path / f"run{len(methods)}")
        counts.append(scored.copy())
        scored.clear()
    assert counts[0] == counts[1]
    assert len(counts[0]) == 2


def test_the_ablation_has_the_papers_thresholds_and_the_selectors() -> None:
    config = load_config(CONFIGS / "mu_ablation.yaml")
    options = [method.model_dump(include={"selector", "mu"}) for method in config.methods]
    fixed = {entry["mu"] for entry in options if entry["selector"] == "fixed"}
    assert fixed == {float(mu) for mu in published_scores("sise", "mu_ablation")["resnet50"]}
    assert [entry["selector"] for entry in options[4:]] == ["printed", "otsu"]
    load_config(CONFIGS / "mu_ablation.yaml", ["share_forwards=false", "timing.warmup=3", "data.sample=100"])


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["mu", "RUN", "--output", "a.gif"], 2, "a.gif: no figure format '.gif'; valid: .png, .pdf, .svg"),
        (["mu", "RUN", "--output", "a.png"], 3, "1 value of the threshold mu"),
        (["mu", "/nowhere", "--output", "a.png"], 3, "/nowhere"),
        (["kept", "RUN", "--output", "a.png", "--model", "resnet"], 3, "did you mean 'resnet50'"),
        (["kept", "TWO", "--output", "a.png"], 2, "records of resnet50, vgg16; name one with --model"),
        (["maps", "RUN", "--output", "a.png"], 2, "--random N"),
        (["maps", "RUN", "--output", "a.png", "--random", "1", "--image", "1"], 2, "--random N"),
        (["phases", "RUN", "--output", "/proc/nowhere/a.png"], 5, "/proc/nowhere"),
        (["phases", "RUN"], 2, "--output"),
        (["gradients", "--config", "absent.yaml", "--image", "1", "--output", "a.png"], 2, "absent.yaml"),
        (
            ["gradients", "--config", CONFIGS / "table1.yaml", "--image", "1", "--output", "a.png"],
            2,
            "--model",
        ),
    ],
)
def test_mistakes_end_in_one_line_and_their_exit_code(
    arguments: list[str | Path], code: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folders = {
        "RUN": make_run(tmp_path / "run", [record("sise", "1", seconds=1.0)], (SISE, ADA_SISE)).folder,
        "TWO": make_run(tmp_path / "two", [record("sise", "1"), record("sise", "1", "vgg16")]).folder,
    }
    result = call("figure", *(folders.get(str(argument), argument) for argument in arguments))
    assert result.exit_code == code, result.output
    assert message in result.stderr
    assert sum(line.startswith("Error:") for line in result.stderr.splitlines()) == 1
    assert not (tmp_path / "a.png").exists()


def test_help_of_each_figure_has_an_example() -> None:
    for name in ("gradients", "maps", "phases", "mu", "kept"):
        result = call("figure", name, "--help")
        assert result.exit_code == 0
        assert f"adasise-bench figure {name} " in result.output
