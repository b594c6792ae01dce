"""What a run folder lets one look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from adasise_bench.records.maps import map_path
from adasise_bench.records.pictures import Gallery
from adasise_bench.records.record import Key
from adasise_bench.records.run import load_run
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import DataError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gallery") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(path.parent / "cache"))
        tree = {
            "data": {"root": "embedded", "input_size": 32},
            "models": {"scenes_vgg": {}},
            "methods": ["ada_sise"],
            "engine": {"layout": "contiguous", "batch_size": 8},
            "limit": 1,
            "save_maps": True,
        }
        run(validate(tree, "test"), path)
    return path


@pytest.fixture
def gallery(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Gallery:
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder.parent / "cache"))
    return Gallery.of(load_run(folder))


def key_of(folder: Path) -> Key:
    record = load_run(folder).records.iloc[0]
    return Key(record["model"], record["method"], record["image_id"], record["class_name"])


def test_picture_annotation_and_map_belong_together(folder: Path, gallery: Gallery) -> None:
    key = key_of(folder)
    annotation = gallery.annotation(key.image_id)
    assert key.class_name in annotation.class_names
    assert gallery.picture(key.image_id).size == annotation.picture_size
    assert gallery.saliency(key).shape == (32, 32)


def test_missing_damaged_and_foreign_maps_are_named(folder: Path, gallery: Gallery) -> None:
    key = key_of(folder)
    with pytest.raises(DataError, match=r"sise/x_disc\.npy: no saliency map.*--save-maps"):
        gallery.saliency(Key("scenes_vgg", "sise", "x", "disc"))
    path = map_path(folder, key)
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-7])
        with pytest.raises(DataError, match="damaged map"):
            gallery.saliency(key)
        np.save(path, np.zeros(3, dtype=np.float32))
        with pytest.raises(DataError, match="not a saliency map"):
            gallery.saliency(key)
    finally:
        path.write_bytes(whole)


def test_a_configuration_that_is_none_any_more_is_named(folder: Path) -> None:
    run = load_run(folder)
    run.config["data"]["resize"] = "crop"
    with pytest.raises(DataError, match=r"config\.yaml: damaged: data: key 'resize'"):
        Gallery.of(run)


def test_another_picture_than_the_explained_is_refused(folder: Path, gallery: Gallery) -> None:
    key = key_of(folder)
    path = gallery.dataset.images[key.image_id]
    whole = path.read_bytes()
    try:
        path.write_bytes(whole + b"\0")
        with pytest.raises(DataError, match="not the picture that"):
            gallery.picture(key.image_id)
    finally:
        path.write_bytes(whole)
    with pytest.raises(DataError, match="no picture 'nowhere'"):
        gallery.picture("nowhere")
