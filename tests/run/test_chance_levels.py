"""The chance levels of a configuration: which pairs, fitted to what, and those of VOC 2007 test."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result
from conftest import write_annotation

from adasise_bench.cli import main
from adasise_bench.data.rules import Ties
from adasise_bench.data.voc import open_voc
from adasise_bench.metrics import chance
from adasise_bench.metrics.chance import Target, gaussian_point, half_of
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import CHANCE
from adasise_bench.reporting.tables import chance as levels
from adasise_bench.run import worker
from adasise_bench.run.chance import chance_levels
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import DataError

SIDE = 32
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "table1.yaml"


def _levels(root: Path, **changes: Any) -> levels.ChanceLevels:
    tree = {
        "data": {"root": str(root), "input_size": SIDE} | changes.pop("data", {}),
        "models": {"resnet50": {}},
        "methods": ["sise"],
    }
    return chance_levels(validate(tree | changes, "test"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Annotations of 24 pictures with dogs, every third with a cat, too; there are no pictures."""
    devkit = tmp_path / "VOCdevkit" / "VOC2007"
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (devkit / folder).mkdir(parents=True)
    generator = np.random.default_rng(1)
    ids = [f"{number:06}" for number in range(24)]
    for number, image_id in enumerate(ids):
        boxes = []
        for name in ("dog", "cat") if number % 3 == 0 else ("dog",):
            left, top = (int(edge) for edge in generator.integers(1, 30, 2))
            right, bottom = left + int(generator.integers(10, 40)), top + int(generator.integers(10, 30))
            boxes.append((name, left, top, right, bottom))
        write_annotation(devkit / "Annotations" / f"{image_id}.xml", (80, 60), boxes)
    (devkit / "ImageSets/Main/test.txt").write_text("\n".join(ids))
    return tmp_path


def _masks(root: Path) -> dict[tuple[str, str], np.ndarray]:
    dataset = open_voc(root, "2007", "test")
    return {
        (image_id, name): annotation.inside(name, (SIDE, SIDE)).numpy()
        for image_id in dataset.images
        for annotation in [dataset.annotation(image_id)]
        for name in annotation.class_names
    }


def test_cross_fitted_pixels_come_from_the_other_half(root: Path) -> None:
    found, masks = _levels(root), _masks(root)
    assert {half_of(image_id) for image_id, _ in masks} == {1, 2}
    assert list(found.values.index) == list(masks)
    for (image_id, name), mask in masks.items():
        for level, wanted in ((levels.PIXEL, None), (levels.CLASS_PIXEL, name)):
            others = [
                other
                for (other_id, other_name), other in masks.items()
                if half_of(other_id) != half_of(image_id) and wanted in (None, other_name)
            ]
            pixel = np.sum(others, axis=0).argmax()
            assert found.values["ebpg", level][image_id, name] == 100.0 * mask.ravel()[pixel]


def test_pixels_fitted_on_the_same_pairs_are_the_best_there(root: Path) -> None:
    found, masks = _levels(root), _masks(root)
    assert found.covered is not None
    np.testing.assert_allclose(found.covered, 100 * np.mean(list(masks.values()), axis=0))
    assert found.values["ebpg", levels.FITTED_PIXEL].mean() == pytest.approx(found.covered.max())
    dogs = [mask for (_, name), mask in masks.items() if name == "dog"]
    of_dogs = found.values["ebpg", levels.FITTED_CLASS_PIXEL].xs("dog", level="class_name").mean()
    assert of_dogs == pytest.approx(100 * np.mean(dogs, axis=0).max())


@pytest.mark.parametrize("part", [{"limit": 5}, {"shard": "1/3"}, {"data": {"sample": 7}}])
def test_a_part_of_the_pictures_changes_no_cross_fitted_level(root: Path, part: dict[str, Any]) -> None:
    whole, some = _levels(root).values, _levels(root, **part).values
    assert 0 < len(some) < len(whole)
    same = [level for level in levels.LEVELS if "same pairs" not in level]
    columns = pd.MultiIndex.from_product([levels.LOCATED, same])
    pd.testing.assert_frame_equal(some[columns], whole.loc[some.index, columns])
    fitted = ("ebpg", levels.FITTED_PIXEL)
    assert some[fitted].mean() >= whole.loc[some.index, fitted].mean()


def test_inputs_of_several_shapes_have_no_fitted_levels(root: Path) -> None:
    found = _levels(root, data={"resize": "short-side"})
    assert found.covered is None
    assert found.values["ebpg", levels.PIXEL].isna().all()
    assert found.values["ebpg", levels.CENTRE].notna().all()
    assert any("stretch" in note for note in levels.chance_tables(found).notes)


def test_unusable_annotations_are_told(root: Path) -> None:
    (root / "VOCdevkit/VOC2007/Annotations/000004.xml").write_text("<annotation>")
    found = _levels(root)
    assert "000004" not in found.values.index.get_level_values("image_id")
    assert any("cannot be used: 1" in note for note in levels.chance_tables(found).notes)
    config = root / "c.yaml"
    config.write_text(f"data: {{root: {root}, input_size: 64}}\nmodels: {{vgg16: {{}}}}\nmethods: [sise]\n")
    for tolerated, code in ((0, 1), (1, 0)):
        result = CliRunner().invoke(
            main, ["chance", "--config", str(config), "--set", f"tolerated_errors={tolerated}"]
        )
        assert result.exit_code == code
        assert ("1 of the annotations cannot be used" in result.stderr) == bool(code)
    for path in (root / "VOCdevkit/VOC2007/Annotations").iterdir():
        path.unlink()
    with pytest.raises(DataError, match=r"000000\.xml"):
        _levels(root)


def _call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["chance", "--config", str(CONFIG), *map(str, arguments)])


def test_the_command_prints_levels_and_classes(root: Path) -> None:
    of_root = ("--set", f"data.root={root}", "--set", f"data.input_size={SIDE}")
    printed = _call(*of_root)
    assert printed.exit_code == 0, printed.output
    assert all(level in printed.stdout for level in levels.LEVELS)
    assert "no best value" not in printed.stdout
    by_class = _call(*of_root, "--by", "class", "--format", "csv")
    assert by_class.exit_code == 0, by_class.output
    lines = pd.read_csv(io.StringIO(by_class.stdout))
    centre = lines[(lines["method"] == levels.CENTRE) & (lines["metric"] == "ebpg")].set_index("group")
    assert (centre.loc["cat", "n"], centre.loc["dog", "n"]) == (8, 24)


def test_without_annotations_there_is_one_line(tmp_path: Path) -> None:
    result = _call("--set", f"data.root={tmp_path}", "--set", "data.download=true")
    assert result.exit_code == 3
    assert len(result.stderr.splitlines()) == 1
    assert str(tmp_path) in result.stderr


@pytest.mark.parametrize("together", [True, False])
def test_records_hold_what_the_control_gets_once_for_each_pair(
    tmp_path: Path, together: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[tuple[int, int]] = []

    def pair_levels(inside: torch.Tensor, ties: Ties) -> dict[str, float]:
        computed.append((inside.shape[0], inside.shape[1]))
        return chance.pair_levels(inside, ties)

    monkeypatch.setattr(worker, "pair_levels", pair_levels)
    tree = {
        "data": {"root": "embedded", "input_size": SIDE},
        "models": {"scenes_vgg": {}},
        "methods": ["centre", "random"],
        "device": "cpu",
        "limit": 3,
        "share_forwards": together,
    }
    run(validate(tree, "test"), tmp_path / "run")
    records = read_records(tmp_path / "run")
    centre, random = (records[records["method"] == name].reset_index() for name in ("centre", "random"))
    assert len(computed) == len(centre) == len(random) > 3
    assert centre["chance_gaussian_ebpg"].tolist() == pytest.approx(centre["ebpg"].tolist())
    assert centre["chance_gaussian_bbox"].tolist() == centre["bbox"].tolist()
    for column in CHANCE:
        assert random[column].tolist() == centre[column].tolist()
        assert centre[column].notna().all()


KNOWN = {
    ("ebpg", levels.RANDOM_TIES): 32.43,
    ("bbox", levels.RANDOM_TIES): 32.43,
    ("bbox", levels.TIES): 24.18,
    ("ebpg", "Centre Gaussian, sigma 0.25"): 42.05,
    ("bbox", "Centre Gaussian, sigma 0.25"): 48.76,
    ("miou", "Centre Gaussian, sigma 0.25"): 23.77,
    ("ebpg", "Centre Gaussian, sigma 0.1"): 55.25,
    ("bbox", "Centre Gaussian, sigma 0.1"): 48.76,
    ("miou", "Centre Gaussian, sigma 0.1"): 23.77,
    ("ebpg", levels.CENTRE): 60.39,
    ("ebpg", levels.FITTED_PIXEL): 61.29,
    ("ebpg", levels.FITTED_CLASS_PIXEL): 64.82,
}
"""Percent on all pairs of VOC 2007 test at 224 x 224 pixels, computed by an independent program."""


def test_the_levels_of_voc_2007_test(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data" / "voc2007_test_annotations.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    found = _levels(tmp_path, data={"input_size": 224})
    assert len(found.values) == 7632
    assert found.values["pointing", levels.CENTRE].isna().sum() == 619
    means = found.values.mean()
    assert {key: float(means[key]) for key in KNOWN} == pytest.approx(KNOWN, abs=0.0051)
    assert found.covered is not None
    assert divmod(int(found.covered.argmax()), 224) == (124, 112)
    assert 61 < means["ebpg"][levels.PIXEL] < means["ebpg"][levels.FITTED_PIXEL]
    assert means["bbox"][levels.MAP] > 48.76
    assert means["miou"][levels.MAP] > 23.77
    # That program counted difficult objects, and took the mean over pairs.
    dataset = open_voc(tmp_path, "2007", "test")
    hits = [
        Target(annotation, name).hit(*gaussian_point((224, 224), 0.25, annotation.picture_size))
        for annotation in map(dataset.annotation, dataset.images)
        for name in annotation.class_names
    ]
    assert 100 * np.mean(hits) == pytest.approx(66.23, abs=0.2)
