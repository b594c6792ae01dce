"""A whole run on a tiny set in COCO layout, from the command line to tables, report and figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from coco_layout import name, save_caffe_resnet, write_coco

from adasise_bench.cli import main
from adasise_bench.cli.table import tables_text
from adasise_bench.data.coco import open_coco
from adasise_bench.records import environment, evidence
from adasise_bench.records.reading import read_records

SIDE = 32


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("base")
    write_coco(base / "coco")
    weights = save_caffe_resnet(base / "coco.pth.tar", 80)
    (base / "mine.yaml").write_text(
        f"data: {{layout: coco, root: {base}/coco, region: masks, input_size: {SIDE}}}\n"
        f"models: {{resnet50: {{checkpoint: {weights}}}}}\n"
        "methods:\n- {name: sise, mu: 0.97}\n"
        "- {name: extremal_perturbation, areas: [.2], iterations: 2, step: 8, sigma: 8}\n"
        "engine: {layout: contiguous, batch_size: 16}\nsave_maps: true\n"
    )
    return base


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(base: Path) -> Path:
    result = call("run", "--config", base / "mine.yaml", "--output", base / "run")
    assert result.exit_code == 0, result.output
    (base / "stdout").write_text(result.stdout)
    return base / "run"


def test_every_class_of_every_picture_with_objects_is_explained(folder: Path) -> None:
    records = read_records(folder)
    assert records["error"].isna().all()
    pairs = set(zip(records["image_id"], records["class_name"], strict=True))
    assert pairs == {
        (name(1), "dog"), (name(1), "person"), (name(2), "tvmonitor"), (name(3), "person"),
        (name(4), "aeroplane"), (name(4), "cat"),
    }  # fmt: skip
    whole = records[records["image_id"] == name(3)]
    assert (whole["box_share"] == 100).all()
    assert whole.loc[whole["method"] == "extremal_perturbation", "ebpg"].eq(100).all()
    assert records.loc[records["class_name"] == "aeroplane", "box_share"].eq(100 / SIDE**2).all()
    assert len(list(folder.rglob("*.npy"))) == len(records) == 12


def test_results_say_which_data_they_rest_on(folder: Path) -> None:
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["data"]["name"] == "COCO 2014 val, masks"
    assert (environment["data"]["full_images"], environment["data"]["left_out"]) == (40504, 1)
    assert environment["identity"]["data"]["region"] == "masks"
    text = " ".join(tables_text(folder, notes="all").split())
    assert "COCO 2014 val, masks (images without objects left out: 1)" in text
    assert "ResNet-50 is not the published model" in text
    assert "ResNet-50: 4 of 40504 images (6 pairs)." in text
    assert "published" not in text.replace("not the published", "")


def test_runs_on_boxes_and_on_masks_are_other_runs(base: Path, folder: Path) -> None:
    refused = call(
        "run", "--config", base / "mine.yaml", "--set", "data.region=boxes", "--output", folder
    )  # fmt: skip
    assert refused.exit_code == 5
    assert "data.region" in refused.stderr


def test_resumes_and_sees_a_changed_annotation(base: Path, folder: Path) -> None:
    again = call("run", "--config", base / "mine.yaml", "--output", folder)
    assert again.exit_code == 0
    assert "0 explanations made, 12 kept from before" in again.stderr


def test_report_and_figures_draw_cocos_boxes(folder: Path, base: Path) -> None:
    result = call("report", folder, "--output", base / "report.html")
    assert result.exit_code == 0, result.output
    page = (base / "report.html").read_text()
    assert "COCO 2014 val, masks" in page
    assert name(1) in page
    figure = call(
        "figure", "maps", folder, "--image", f"{name(1)}:dog", "--output", base / "maps.png"
    )  # fmt: skip
    assert figure.exit_code == 0, figure.output
    gradients = call(
        "figure", "gradients", "--config", base / "mine.yaml", "--image", f"{name(4)}:cat",
        "--output", base / "gradients.png",
    )  # fmt: skip
    assert gradients.exit_code == 0, gradients.output


def test_explain_knows_cocos_classes(base: Path) -> None:
    picture = base / "coco" / "val2014" / f"{name(1)}.jpg"
    result = call(
        "explain", picture, "--checkpoint", base / "coco.pth.tar", "--class", "hair drier",
        "--methods", "sise", "--set", "data.layout=coco", "--set", f"data.input_size={SIDE}",
        "--set", "methods.sise.mu=0.97", "--output", base / "explained",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "hair drier" in result.stdout
    assert "ResNet-50 for COCO, not the published weights" in result.stderr
    assert np.load(base / "explained" / "sise_hair drier.npy").shape == (SIDE, SIDE)


def test_networks_of_other_classes_are_refused(base: Path, tmp_path: Path) -> None:
    weights = save_caffe_resnet(tmp_path / "voc.pth.tar", 20)
    result = call(
        "run", "--config", base / "mine.yaml", "--output", tmp_path / "run", "--set",
        f"models.resnet50.checkpoint={weights}",
    )  # fmt: skip
    assert result.exit_code == 3
    assert "does not fit resnet50 for COCO" in result.stderr
    scenes = call("run", "--config", base / "mine.yaml", "--set", "models={scenes_vgg: {}}", "--dry-run")
    assert scenes.exit_code == 2
    assert "needs the drawn scenes (data.root=embedded) as data" in scenes.stderr
    content = json.loads((base / "coco/annotations/instances_val2014.json").read_text())
    content["categories"][0]["name"] = "lemming"
    (tmp_path / "mine.json").write_text(json.dumps(content))
    own = call(
        "run", "--config", base / "mine.yaml", "--output", tmp_path / "run",
        "--set", f"data.annotations={tmp_path}/mine.json",
    )  # fmt: skip
    assert own.exit_code == 2
    assert "no output for 'lemming', a class of own set in COCO layout, mine.json" in own.stderr


def test_classes_in_another_order_are_another_run(tmp_path: Path) -> None:
    """Other category ids put the classes in another order, and other outputs would stand for them."""
    set_of = {}
    for kind, ids in (("before", {"wing": 1, "tail": 2}), ("after", {"wing": 12, "tail": 7})):
        categories = [{"id": number, "name": name} for name, number in ids.items()]
        objects = [
            {"id": number, "image_id": 1, "category_id": ids[name], "bbox": [3, 3, 20, 20]}
            for number, name in enumerate(ids)
        ]
        pictures = [{"id": 1, "file_name": "1.png", "width": 80, "height": 60}]
        tree = {"images": pictures, "annotations": objects, "categories": categories}
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps(tree))
        set_of[kind] = open_coco("mine", path, tmp_path)
    before, after = set_of["before"], set_of["after"]
    assert (before.classes, after.classes) == (("wing", "tail"), ("tail", "wing"))
    assert before.annotation_digest(next(iter(before.images))) == after.annotation_digest(
        next(iter(after.images))
    )
    facts = [{"data": {"classes": list(one.classes)}, "models": {}} for one in (before, after)]
    told = [{"evidence": evidence.of_run(one)} for one in facts]
    assert environment.differences(*told) == ["data.classes.0: wing -> tail", "data.classes.1: tail -> wing"]
