"""The drawn scenes: the same everywhere, inside their limits, boxes tight, written whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import VOCDetection

from adasise_bench.data import scenes
from adasise_bench.data.scenes import (
    SCENE_CLASSES,
    SCENES_SEED,
    Scene,
    draw_scene,
    embedded_root,
    write_scenes,
)
from adasise_bench.data.voc import VocDataset, open_voc
from adasise_bench.utils.errors import OutputError

FILLED = {
    "cross": (0.25, 0.8),
    "ring": (0.35, 0.66),
    "square": (0.48, 1.0),
    "star": (0.25, 0.45),
    "triangle": (0.44, 0.52),
}
"""Share of its box that a shape fills, over all turns and proportions; a disc's share is known exactly."""


@pytest.fixture
def embedded() -> VocDataset:
    found = open_voc(embedded_root(), "2007", "test")
    return VocDataset("drawn scenes", SCENE_CLASSES, found.images, found.annotations)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**20))
def test_every_scene_keeps_its_promises(seed: int, index: int) -> None:
    scene = draw_scene(seed, index)
    height, width, depth = scene.pixels.shape
    assert scene.pixels.dtype == np.uint8
    assert depth == 3
    assert 200 <= height <= 420
    assert 200 <= width <= 420
    assert height != width
    assert 0.6 <= width / height <= 1.7
    assert 1 <= len(scene.boxes) == len(scene.masks) <= 4
    assert 1 <= len({box.class_name for box in scene.boxes}) <= 3
    assert np.sum(scene.masks, axis=0).max() == 1
    for box, mask in zip(scene.boxes, scene.masks, strict=True):
        inside = mask[box.ymin - 1 : box.ymax, box.xmin - 1 : box.xmax]
        assert inside.sum() == mask.sum()
        assert all(edge.any() for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]))
        assert 0.05 <= inside.size / (height * width) <= 0.40
        low, high = FILLED.get(box.class_name) or _disc_share(min(inside.shape))
        assert low <= inside.mean() <= high


def _disc_share(diameter: int) -> tuple[float, float]:
    """π/4, give or take the pixels that the edges of the disc and of its box round away or add."""
    return np.pi / 4 - 1.6 / diameter, np.pi / 4 + 1.6 / diameter


def test_masks_are_what_is_seen() -> None:
    contrasts = [contrast for index in range(20) for contrast in _contrasts(draw_scene(5, index))]
    assert min(contrasts) > 40
    assert np.mean(contrasts) > 100


def _contrasts(scene: Scene) -> list[float]:
    """Colour distance between the pixels just inside and just outside of every mask."""
    pixels = scene.pixels.astype(float)
    found = []
    for mask in scene.masks:
        inner, outer = _grown(~mask, 4) & ~_grown(~mask, 1), _grown(mask, 4) & ~_grown(mask, 1)
        found.append(float(np.linalg.norm(pixels[inner].mean(axis=0) - pixels[outer].mean(axis=0))))
    return found


def _grown(mask: np.ndarray, steps: int) -> np.ndarray:
    for _ in range(steps):
        padded = np.pad(mask, 1)
        mask = mask | padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]
    return mask


def test_seed_and_index_alone_decide_the_pixels() -> None:
    one, two = draw_scene(7, 3), draw_scene(7, 3)
    assert one.pixels.tobytes() == two.pixels.tobytes()
    assert one.boxes == two.boxes
    others = [draw_scene(7, 4), draw_scene(8, 3)]
    assert len({scene.pixels.tobytes() for scene in (one, *others)}) == 3


def test_embedded_set_is_varied(embedded: VocDataset) -> None:
    annotations = [embedded.annotation(image_id) for image_id in embedded.images]
    names = [annotation.class_names for annotation in annotations]
    assert len(annotations) >= 60
    assert len({annotation.picture_size for annotation in annotations}) > 50
    assert {name for row in names for name in row} == set(SCENE_CLASSES)
    assert {len(row) for row in names} == {1, 2, 3}
    assert any(len(annotation.boxes) > len(annotation.class_names) for annotation in annotations)


def test_embedded_set_is_what_is_drawn(embedded: VocDataset) -> None:
    for index, image_id in list(enumerate(embedded.images))[:5]:
        scene = draw_scene(SCENES_SEED, index)
        annotation = embedded.annotation(image_id)
        picture = np.asarray(embedded.picture(image_id, annotation), dtype=float)
        assert annotation.boxes == scene.boxes
        assert np.abs(picture - scene.pixels).mean() < 6


def test_torchvision_reads_the_layout() -> None:
    found = VOCDetection(str(embedded_root()), year="2007", image_set="test")
    assert len(found) == scenes.EMBEDDED_COUNT
    for picture, target in (found[index] for index in range(0, len(found), 8)):
        content = target["annotation"]
        assert picture.size == (int(content["size"]["width"]), int(content["size"]["height"]))
        assert content["folder"] == "VOC2007"
        assert all(
            entry["name"] in SCENE_CLASSES and entry["difficult"] == "0" for entry in content["object"]
        )


def test_embedded_set_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "EMBEDDED_COUNT", 2)
    root = embedded_root(tmp_path)
    assert root.parent == tmp_path
    monkeypatch.setattr(scenes, "write_scenes", None)
    assert embedded_root(tmp_path) == root


def test_interrupted_writing_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, save = tmp_path / "cache" / "set", Image.Image.save

    def interrupted(picture: Image.Image, path: Path, **options: object) -> None:
        assert not root.exists()
        if path.stem == "000003":
            raise KeyboardInterrupt
        save(picture, path, **options)

    monkeypatch.setattr(Image.Image, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_scenes(root, 4, 1)
    assert list(root.parent.iterdir()) == []


def test_finished_set_is_not_overwritten(tmp_path: Path) -> None:
    write_scenes(tmp_path / "set", 1, 1)
    with pytest.raises(OSError, match="not empty"):
        write_scenes(tmp_path / "set", 2, 1)
    assert len(open_voc(tmp_path / "set", "2007", "test").images) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["set"]


def test_two_runs_may_draw_the_set_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def beaten(root: Path, count: int, seed: int) -> None:
        write_scenes(root, 1, seed)
        write_scenes(root, 1, seed)

    monkeypatch.setattr(scenes, "write_scenes", beaten)
    assert len(open_voc(embedded_root(tmp_path), "2007", "test").images) == 1


def test_default_place_is_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(scenes, "EMBEDDED_COUNT", 1)
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert embedded_root().parent == tmp_path / ".cache" / "adasise-bench"


def test_unwritable_cache_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    with pytest.raises(
        OutputError, match=r"file/adasise-bench: cannot write .*; set XDG_CACHE_HOME"
    ) as caught:
        embedded_root()
    assert "\n" not in str(caught.value)


def test_pixels_do_not_depend_on_the_processor() -> None:
    """The scenes are some of those that differed between vector instructions when all was float32."""
    code = (
        "import hashlib; from adasise_bench.data.scenes import draw_scene; "
        "pixels = b''.join(draw_scene(2007, i).pixels.tobytes() for i in (31, 35, 38, 46)); "
        "print(hashlib.sha256(pixels).hexdigest())"
    )
    vectors = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    environments = (os.environ, os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(vectors)})
    printed = {
        subprocess.check_output([sys.executable, "-c", code], env=environment) for environment in environments
    }
    assert len(printed) == 1
