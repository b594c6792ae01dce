"""Sets in COCO layout beside TorchRay's and pycocotools' reading of the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from coco_layout import FIVE, OFFICIAL, name, runs, tree, write_coco
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from adasise_bench.config import DataConfig
from adasise_bench.data.boxes import Box, box_mask
from adasise_bench.data.coco import COCO_CATEGORIES, COCO_CLASSES, CocoDataset, _box, open_coco
from adasise_bench.data.open import open_dataset
from adasise_bench.data.outlines import Outline, in_frame
from adasise_bench.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_coco(tmp_path / "coco")
    return tmp_path / "coco"


def opened(root: Path, **settings: Any) -> CocoDataset:
    dataset = open_dataset(DataConfig(layout="coco", root=root, **settings))
    assert isinstance(dataset, CocoDataset)
    return dataset


def test_classes_are_torchrays_in_its_order() -> None:
    from torchray.benchmark import datasets

    assert list(COCO_CLASSES) == datasets.COCO_CLASSES
    assert {number: k for k, number in enumerate(COCO_CATEGORIES)} == datasets._COCO_CLASS_TO_INDEX


def test_lists_what_has_objects(root: Path) -> None:
    dataset = opened(root)
    assert dataset.name == "COCO 2014 val"
    assert list(dataset.images) == [name(k) for k in (1, 2, 3, 4)]
    assert (dataset.left_out, dataset.full_size) == (1, (40504, None))
    assert dataset.classes == COCO_CLASSES
    assert [dataset.annotation(name(k)).class_names for k in (1, 2, 3, 4)] == [
        ["dog", "person"], ["tvmonitor"], ["person"], ["aeroplane", "cat"],
    ]  # fmt: skip
    annotation = dataset.annotation(name(1))
    assert dataset.picture(name(1), annotation).size == annotation.picture_size == FIVE[1]
    assert opened(root, region="masks").name == "COCO 2014 val, masks"


def test_masks_are_torchrays(root: Path) -> None:
    from torchray.benchmark.datasets import CocoDetection, coco_as_class_ids, coco_as_mask

    theirs = CocoDetection(str(root / "val2014"), str(root / "annotations/instances_val2014.json"))
    ours = opened(root, region="masks")
    compared = 0
    for index, number in enumerate(theirs.ids):
        _, label = theirs[index]
        if not label:
            continue
        width, height = FIVE[number]
        annotation = ours.annotation(name(number))
        assert {COCO_CLASSES[k] for k in coco_as_class_ids(label)} == set(annotation.class_names)
        for class_name in annotation.class_names:
            expected = coco_as_mask(theirs, label, COCO_CLASSES.index(class_name))
            inside = annotation.inside(class_name, (height, width))
            if expected.any():
                assert torch.equal(inside, expected)
            else:
                assert inside.sum() == 1
            compared += 1
    assert compared == 6


def test_an_outline_too_thin_for_any_centre_gets_one_pixel(root: Path) -> None:
    inside = opened(root, region="masks").annotation(name(3)).inside("person", (8, 8))
    assert inside.all()
    dot = Outline((40, 40), runs=(40 * 13 + 27, 1, 1600 - 40 * 13 - 28))
    small = in_frame(dot.pixels(), (4, 4))
    assert small.sum() == 1
    assert small[2, 1]


def test_outlines_are_decoded_only_where_a_region_is_asked_for(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    annotation = opened(root, region="masks").annotation(name(1))

    def decode(_outline: Outline) -> torch.Tensor:
        raise AssertionError

    monkeypatch.setattr(Outline, "pixels", decode)
    assert len(annotation.boxes) == len(annotation.outlines or ()) == 3
    with pytest.raises(AssertionError):
        annotation.inside("dog", (8, 8))
    assert opened(root).annotation(name(1)).inside("dog", (8, 8)).any()


@pytest.mark.parametrize("size", [(40, 60), (64, 64), (7, 200)])
def test_boxes_follow_vocs_rule(root: Path, size: tuple[int, int]) -> None:
    annotation = opened(root).annotation(name(1))
    rows, columns = size
    expected = torch.zeros(size, dtype=torch.bool)
    top, bottom = round(10.25 * rows / 40), round((10.25 + 25.5) * rows / 40)
    expected[top:bottom, round(30.5 * columns / 60) : round(50.5 * columns / 60)] = True
    assert torch.equal(annotation.inside("dog", size), expected)
    voc = [Box("person", 3, 4, 12, 23), Box("person", 21, 6, 29, 35)]
    assert torch.equal(annotation.inside("person", size), box_mask(voc, FIVE[1], size))


sides = st.integers(1, 40)


@settings(deadline=None)
@given(st.data(), sides, sides, sides, sides)
def test_box_and_mask_of_a_rectangle_are_the_same_region(
    data: st.DataObject, width: int, height: int, columns: int, rows: int
) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    across, down = data.draw(st.integers(1, width - left)), data.draw(st.integers(1, height - top))
    box = _box("dog", [left, top, across, down], (width, height))
    by_box = box_mask([box], (width, height), (rows, columns))
    outline = Outline.of(runs((width, height), left, top, across, down), (width, height))
    assert outline.pixels().sum() == across * down
    by_mask = in_frame(outline.pixels(), (rows, columns))
    edges = [(left, width, columns), (left + across, width, columns)]
    edges += [(top, height, rows), (top + down, height, rows)]
    on_a_centre = any(2 * edge * frame % (2 * side) == side for edge, side, frame in edges)
    centres = [
        any(edge <= (2 * i + 1) * side // (2 * frame) < end for i in range(frame))
        for edge, end, side, frame in ((left, left + across, width, columns), (top, top + down, height, rows))
    ]
    if not on_a_centre and all(centres):
        assert torch.equal(by_box, by_mask)
    assert by_box.any()
    assert by_mask.any()


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), sides, sides, st.floats(0, 1))
def test_run_lengths_decode_as_pycocotools_does(seed: int, width: int, height: int, share: float) -> None:
    from pycocotools import mask

    pixels = np.random.default_rng(seed).random((height, width)) < share
    pixels = pixels & np.roll(pixels, 1, axis=0)
    packed = mask.encode(np.asfortranarray(pixels, dtype=np.uint8))
    segmentation = {"size": packed["size"], "counts": packed["counts"].decode()}
    outline = Outline.of(segmentation, (width, height))
    assert np.array_equal(outline.pixels().numpy(), pixels)
    plain = Outline.of({"size": [height, width], "counts": list(outline.runs)}, (width, height))
    assert plain == outline


def test_digests_see_what_values_depend_on(root: Path) -> None:
    file = root / "annotations/instances_val2014.json"
    before, before_masks = opened(root).digests(), opened(root, region="masks").digests()
    content = json.loads(file.read_text())
    content["annotations"][0]["segmentation"][0][0] += 1
    content["annotations"][3]["bbox"][0] += 1
    content["annotations"].reverse()
    content["info"] = {"year": 2015}
    file.write_text(json.dumps(content))
    after, after_masks = opened(root).digests(), opened(root, region="masks").digests()
    changed = {key for key in before if before[key] != after[key]}
    assert {name(2)} <= changed
    assert name(3) not in changed
    assert before_masks[name(3)] == after_masks[name(3)]
    assert before_masks[name(1)] != after_masks[name(1)]


def test_a_set_of_ones_own(tmp_path: Path) -> None:
    pictures = tmp_path / "my pictures"
    (pictures / "below").mkdir(parents=True)
    Image.new("RGB", (20, 10)).save(pictures / "below" / "a.png")
    Image.new("L", (20, 10)).save(pictures / "b.jpg")
    content = {
        "images": [
            {"id": "x", "file_name": "below/a.png", "width": 20, "height": 10},
            {"id": 7, "file_name": "b.jpg", "width": 20, "height": 10},
        ],
        "annotations": [
            {"id": 1, "image_id": "x", "category_id": 9, "bbox": [0, 0, 5, 5]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [1, 1, 5, 5]},
        ],
        "categories": [{"id": 9, "name": "lemming"}, {"id": 0, "name": "unused"}, {"id": 2, "name": "bat"}],
    }
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(content))
    dataset = open_dataset(DataConfig(layout="coco", images=pictures, annotations=file))
    assert dataset.name == "own set in COCO layout, mine.json"
    assert dataset.classes == ("bat", "lemming")
    assert dataset.full_size == (2, 2)
    assert list(dataset.images) == ["below-a", "b"]
    for image_id in dataset.images:
        assert dataset.picture(image_id, dataset.annotation(image_id)).mode == "RGB"
    with pytest.raises(DataError, match="no polygons or run lengths"):
        open_coco("mine", file, pictures, "masks").annotation("b")


def test_vocs_layout_takes_other_classes(voc_root: Path) -> None:
    with pytest.raises(DataError, match=r"class 'dog' is not one of the 2; .* data\.classes"):
        open_dataset(DataConfig(root=voc_root, classes=("cat", "person"))).annotation("000001")
    dataset = open_dataset(DataConfig(root=voc_root, classes=("cat", "dog", "person")))
    assert dataset.classes == ("cat", "dog", "person")
    assert dataset.name == "own set in VOC layout, 2007 test"
    assert dataset.full_size == (3, None)
    assert dataset.annotation("000001").class_names == ["dog", "person"]


def test_the_official_categories_are_known_by_their_names() -> None:
    renamed = {number for number in OFFICIAL if OFFICIAL[number] != COCO_CATEGORIES[number]}
    assert renamed == {4, 5, 63, 64, 67, 72}
    assert len(tree()["categories"]) == 80


def test_masks_need_pycocotools(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pycocotools.mask", None)
    with pytest.raises(ConfigError, match=r"pip install 'adasise-bench\[coco\]'"):
        opened(root, region="masks")
    assert opened(root).annotation(name(1)).inside("dog", (4, 4)).any()
