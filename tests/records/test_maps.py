"""Saved maps: every record has a file of its own, in new run folders and in those of older versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from conftest import save_turned

from adasise_bench.cli import main
from adasise_bench.records.folder_names import PICTURES
from adasise_bench.records.maps import kept_map, map_path, read_map, save_map
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Key
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import DataError

CLASSES = ("red_mug", "mug", "Mug", "pen/pencil")
LONG = "x" * 140


def write_set(folder: Path, images: dict[str, int], box: list[float] | None = None) -> dict[str, Any]:
    """A set in COCO layout: square pictures, by their EXIF orientation, with all classes; its settings."""
    noise = np.random.default_rng(0)
    for number, (name, orientation) in enumerate(images.items()):
        pixels = np.roll(noise.integers(0, 255, (40, 40, 3), dtype=np.uint8), number, axis=0)
        save_turned(folder / f"{name}.png", orientation, pixels)
    content = {
        "images": [
            {"id": number, "file_name": f"{name}.png", "width": 40, "height": 40}
            for number, name in enumerate(images)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES)],
        "annotations": [
            {
                "id": 10 * image + number,
                "image_id": image,
                "category_id": number,
                "bbox": box or [1, 1, 20, 20],
            }
            for image in range(len(images))
            for number in range(len(CLASSES))
        ],
    }
    (folder / "a.json").write_text(json.dumps(content))
    return {
        "data": {
            "layout": "coco", "images": str(folder), "annotations": str(folder / "a.json"), "input_size": 32,
        },
        "models": {"resnet18": {"source": "torchvision"}},
        "methods": ["gradient"],
        "engine": {"layout": "contiguous", "batch_size": 8},
        "save_maps": True,
    }  # fmt: skip


def test_names_that_used_to_collide_have_maps_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = write_set(tmp_path, {"a": 1, "a_red": 1, LONG: 1})
    saved: dict[Path, torch.Tensor] = {}
    monkeypatch.setattr(
        "adasise_bench.run.worker.save_map",
        lambda folder, key, saliency: (saved.setdefault(key, saliency), save_map(folder, key, saliency)),
    )
    run(validate(settings, "test"), tmp_path / "out")
    assert len(saved) == 12
    assert len(list((tmp_path / "out/maps").rglob("*.npy"))) == 12
    assert len({path.name.casefold() for path in (tmp_path / "out/maps").rglob("*.npy")}) == 12
    for key, saliency in saved.items():
        np.testing.assert_array_equal(read_map(tmp_path / "out", key), saliency.numpy())
    assert run(validate(settings, "test"), tmp_path / "out").reused == 12


def key_of(image_id: str, class_name: str) -> Key:
    return Key("resnet18", "gradient", image_id, class_name)


def older_folder(folder: Path, names: list[str], maps: list[str]) -> None:
    """A run folder whose maps have the names that older versions gave them."""
    path = folder / "maps" / "resnet18" / "gradient"
    path.mkdir(parents=True)
    for number, name in enumerate(maps):
        np.save(path / f"{name}.npy", np.full((4, 4), number, dtype=np.float32))
    (folder / PICTURES).write_text("".join(f"{'0' * 64}  {name}\n" for name in names))


def test_maps_of_older_versions_are_found(tmp_path: Path) -> None:
    names = ["a", "COCO_val2014_000000000001", "IMG_1"]
    keys = [
        key_of("a", "red_mug"),
        key_of(names[1], "hair drier"),
        key_of("IMG_1", "Mug"),
        key_of("a", "mug"),
    ]
    older_folder(tmp_path, names, [f"{key.image_id}_{key.class_name}" for key in keys])
    for number, key in enumerate(keys):
        assert (read_map(tmp_path, key) == number).all()
    save_map(tmp_path, keys[0], torch.full((4, 4), 9.0))
    assert (read_map(tmp_path, keys[0]) == 9).all()


def test_an_older_map_that_may_be_another_pair_s_is_nobody_s(tmp_path: Path) -> None:
    older_folder(tmp_path, ["a", "a_red"], ["a_red_mug"])
    with pytest.raises(DataError, match="no saliency map; give the run again with --save-maps"):
        read_map(tmp_path, key_of("a", "red_mug"))


def test_a_map_of_a_new_run_is_not_taken_for_another_pair_s(tmp_path: Path) -> None:
    older_folder(tmp_path, ["a", "a_red"], [])
    save_map(tmp_path, key_of("a_red", "mug"), torch.ones(4, 4))
    assert not kept_map(tmp_path, key_of("a", "red_mug")).exists()
    assert map_path(tmp_path, key_of("a_red", "mug")).name == "a_red_mug.npy"


def test_names_that_older_versions_could_not_write_are_no_paths(tmp_path: Path) -> None:
    older_folder(tmp_path, ["a"], [])
    (tmp_path / "maps/resnet18/gradient/a_pen").mkdir()
    np.save(tmp_path / "maps/resnet18/gradient/a_pen/pencil.npy", np.ones((4, 4), dtype=np.float32))
    assert not kept_map(tmp_path, key_of("a", "pen/pencil")).exists()
    assert not kept_map(tmp_path, key_of("y" * 300, "mug")).exists()


def test_turned_pictures_are_explained_upright_said_and_counted(tmp_path: Path) -> None:
    """The object is in the upper left quarter of every upright picture, and the map exactly on it."""
    settings = write_set(
        tmp_path, {f"p{orientation}": orientation for orientation in range(1, 9)}, [0, 0, 20, 20]
    )
    (tmp_path / "c.json").write_text(json.dumps(settings | {"methods": ["box_oracle"]}))
    for orientation in range(1, 9):
        pixels = np.full((40, 40, 3), 90, dtype=np.uint8)
        pixels[:20, :20] = 200
        save_turned(tmp_path / f"p{orientation}.png", orientation, pixels)
    result = CliRunner().invoke(
        main, ["run", "--config", str(tmp_path / "c.json"), "--output", str(tmp_path / "out")]
    )
    assert result.exit_code == 0, result.output
    line = (
        "pictures turned or mirrored as their EXIF orientation says, though their annotated size "
        "fits either way: 7"
    )
    assert result.stderr.count(line) == 1
    facts = json.loads((tmp_path / "out/environment.json").read_text())
    assert facts["data"]["turned_on_trust"] == 7
    records = read_records(tmp_path / "out")
    assert records.groupby("class_name")["score"].nunique().eq(1).all()
    dry = CliRunner().invoke(main, ["run", "--config", str(tmp_path / "c.json"), "--dry-run"])
    assert line in dry.output
    assert "classes, in the order of a network's outputs: 0 red_mug, 1 mug, 2 Mug, 3 pen/pencil" in dry.output


def test_explanations_of_classes_that_differ_in_capitals_are_files_of_their_own(tmp_path: Path) -> None:
    settings = write_set(tmp_path, {"a": 1})
    del settings
    arguments = [
        "explain", tmp_path / "a.png", "--model", "resnet18", "--set", "models.resnet18.source=torchvision",
        "--set", "models.resnet18.classes=[mug, Mug, pen/pencil]", "--set", "data.input_size=32",
        "--methods", "gradient", "--class", "mug", "--class", "Mug", "--class", "pen/pencil",
        "--output", tmp_path / "out",
    ]  # fmt: skip
    result = CliRunner().invoke(main, list(map(str, arguments)))
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out/gradient_mug.npy").exists()
    assert len({path.name.casefold() for path in (tmp_path / "out").glob("gradient_*.npy")}) == 3
