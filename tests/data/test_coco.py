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

from adasise_bench.data.boxes import Box, box_mask
from adasise_bench.data.coco import COCO_CATEGORIES, COCO_CLASSES, CocoDataset, _box, open_coco
from adasise_bench.data.config import DataConfig
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.segmentation import Outline, in_frame
from adasise_bench.utils.errors import ConfigError, DataError


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


def test_pictures_that_voc_does_not_have_are_an_own_set(voc_root: Path) -> None:
    assert open_dataset(DataConfig(root=voc_root)).name == "VOC 2007 test"
    base = voc_root / "VOCdevkit" / "VOC2007"
    for folder, suffix in (("JPEGImages", "jpg"), ("Annotations", "xml")):
        (base / folder / f"000001.{suffix}").rename(base / folder / f"kitchen.{suffix}")
    (base / "ImageSets" / "Main" / "test.txt").write_text("000002\nkitchen\n")
    dataset = open_dataset(DataConfig(root=voc_root))
    assert dataset.name == "own set in VOC layout, 2007 test"
    assert dataset.full_size == (2, None)
    assert len(dataset.classes) == 20


def test_a_folder_named_from_here_is_found_from_elsewhere(
    voc_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pictures are read by a thread while a method runs that may change the working directory."""
    monkeypatch.chdir(voc_root.parent)
    dataset = open_dataset(DataConfig(root=Path(voc_root.name), classes=("cat", "dog", "person")))
    monkeypatch.chdir("/")
    annotation = dataset.annotation("000001")
    assert dataset.picture("000001", annotation).size == (60, 40)
    assert dataset.annotation_digest("000001")


def test_a_coco_folder_named_from_here_is_found_from_elsewhere(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root.parent)
    dataset = open_dataset(DataConfig(layout="coco", root=Path(root.name)))
    monkeypatch.chdir("/")
    for image_id in dataset.images:
        assert dataset.picture(image_id, dataset.annotation(image_id)).size
        assert dataset.annotation_digest(image_id)


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


def small(folder: Path, **changes: Any) -> Path:
    """A set of two pictures, a mug and a plate on the first, with parts of its file replaced."""
    (folder / "pics").mkdir()
    Image.new("RGB", (160, 120)).save(folder / "pics" / "a.png")
    content: dict[str, Any] = {
        "images": [{"id": 1, "file_name": "a.png", "width": 160, "height": 120}],
        "categories": [{"id": 1, "name": "mug"}, {"id": 2, "name": "plate"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 30, 40, 60]},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [100, 10, 30, 30]},
        ],
    }
    file = folder / "a.json"
    file.write_text(json.dumps(content | changes))
    return file


def of(file: Path, **settings: Any) -> CocoDataset:
    return open_coco("mine", file, file.parent / "pics", **settings)


A = {"id": 1, "file_name": "a.png", "width": 160, "height": 120}
NO_NAME = {"id": 1, "coco_url": "http://images.cocodataset.org/val2017/a.png", "width": 160, "height": 120}
MUG_AND_PLATE = [{"id": 1, "name": "mug"}, {"id": 2, "name": "plate"}]

VALID: dict[str, dict[str, Any]] = {
    "a root category named like a class": {"categories": [{"id": 0, "name": "mug"}, *MUG_AND_PLATE]},
    "a stroke in a category that is not used": {
        "categories": [*MUG_AND_PLATE, {"id": 3, "name": "pen/pencil"}]
    },
    "an unprintable category that is not used": {"categories": [*MUG_AND_PLATE, {"id": 3, "name": "\n"}]},
    "LVIS, which has addresses only": {"images": [NO_NAME]},
    "LVIS, and a name that is null": {"images": [NO_NAME | {"file_name": None}]},
    "keys of annotations on an image": {
        "images": [A | {"category_id": 1, "image_id": 7, "bbox": [], "name": "x"}]
    },
    "whole sizes as floats": {"images": [A | {"width": 160.0, "height": 120.0}]},
    "an image without objects of the same stem": {"images": [A, A | {"id": 2, "file_name": "a.jpg"}]},
    "keys of images on an annotation": {
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [20, 30, 40, 60], "file_name": "a.png", "width": 3},
            {"id": 2, "image_id": 1, "category_id": 2, "bbox": [100, 10, 30, 30], "name": "x"},
        ],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", VALID)
def test_what_public_sets_and_tools_write_is_read(tmp_path: Path, kind: str) -> None:
    dataset = of(small(tmp_path, **VALID[kind]))
    assert dataset.classes == ("mug", "plate")
    assert dataset.images == {"a": tmp_path / "pics" / "a.png"}
    annotation = dataset.annotation("a")
    assert annotation.picture_size == (160, 120)
    assert [box[:5] for box in annotation.boxes] == [("mug", 21, 31, 60, 90), ("plate", 101, 11, 130, 40)]
    assert dataset.picture("a", annotation).size == (160, 120)


def test_pictures_of_lvis_may_lie_in_cocos_folders(tmp_path: Path) -> None:
    file = small(tmp_path, images=[NO_NAME])
    (tmp_path / "pics" / "val2017").mkdir()
    (tmp_path / "pics" / "a.png").rename(tmp_path / "pics" / "val2017" / "a.png")
    assert of(file).images == {"a": tmp_path / "pics" / "val2017" / "a.png"}


def test_a_stroke_in_a_class_is_a_letter_like_others(tmp_path: Path) -> None:
    categories = [{"id": 1, "name": "pen/pencil"}, {"id": 2, "name": "a: b\\c"}]
    assert of(small(tmp_path, categories=categories)).classes == ("pen/pencil", "a: b\\c")


def test_separators_of_windows(tmp_path: Path) -> None:
    dataset = of(small(tmp_path, images=[A | {"file_name": "images\\cats\\a.png"}]))
    assert dataset.images == {"images-cats-a": tmp_path / "pics" / "images" / "cats" / "a.png"}
    file = tmp_path / "a.json"
    content = json.loads(file.read_text())
    for path in ("C:\\a.png", "\\a.png", "\\\\host\\share\\a.png", "C:a\\b.png"):
        content["images"][0]["file_name"] = path
        file.write_text(json.dumps(content))
        with pytest.raises(DataError, match="must lead to a picture in the folder"):
            of(file)


@pytest.mark.parametrize(
    ("paths", "ids"),
    [
        (["a.png", "a.jpg"], ["a.png", "a.jpg"]),
        (["a.png", "a.jpg", "a.png.jpg"], ["a.png", "a.jpg", "a.png.jpg"]),
        (["x/a.png", "x-a.png", "b.png"], ["x/a.png", "x-a.png", "b"]),
    ],
)
def test_pictures_that_would_share_an_id_keep_their_whole_path(
    tmp_path: Path, paths: list[str], ids: list[str]
) -> None:
    images = [A | {"id": number, "file_name": path} for number, path in enumerate(paths)]
    objects = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": [number, 0, 9, 9]}
        for number in range(len(paths))
    ]
    dataset = of(small(tmp_path, images=images, annotations=objects))
    assert list(dataset.images) == ids
    assert [dataset.annotation(name).boxes[0].xmin for name in ids] == [k + 1 for k in range(len(ids))]


@pytest.mark.parametrize("text", [True, False])
def test_ids_of_digits_order_the_classes_as_numbers(tmp_path: Path, text: bool) -> None:
    numbers = [10, 2, 1, 11, 3]
    kind = str if text else int
    categories = [{"id": kind(number), "name": f"class{number}"} for number in numbers]
    objects = [
        {"id": number, "image_id": 1, "category_id": kind(number), "bbox": [1, 1, 5, 5]} for number in numbers
    ]
    dataset = of(small(tmp_path, categories=categories, annotations=objects))
    assert dataset.classes == tuple(f"class{number}" for number in sorted(numbers))


def test_other_ids_need_the_order_of_the_classes(tmp_path: Path) -> None:
    categories = [{"id": "m", "name": "mug"}, {"id": "p", "name": "plate"}, {"id": "s", "name": "spoon"}]
    objects = [
        {"id": number, "image_id": 1, "category_id": letter, "bbox": [1, 1, 5, 5]}
        for number, letter in enumerate("mp")
    ]
    file = small(tmp_path, categories=categories, annotations=objects)
    with pytest.raises(ConfigError, match=r"id 'm' of category 'mug' is no number.* data\.classes"):
        of(file)
    assert of(file, classes=("plate", "mug")).classes == ("plate", "mug")
    assert of(file, classes=("plate", "spoon", "mug")).classes == ("plate", "spoon", "mug")
    with pytest.raises(ConfigError, match=r"data\.classes: lacks 'plate'"):
        of(file, classes=("mug", "spoon"))
    with pytest.raises(ConfigError, match=r"data\.classes: 'plat' is no category in .* did you mean 'plate'"):
        of(file, classes=("mug", "plate", "plat"))
    config = DataConfig(layout="coco", images=tmp_path / "pics", annotations=file, classes=("plate", "mug"))
    assert open_dataset(config).classes == ("plate", "mug")
    assert config.identity()["classes"] == ["plate", "mug"]


def turned_objects(**more: Any) -> list[dict[str, Any]]:
    return [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [20.0, 40.0, 120.0, 20.0]} | more]


def test_a_rotation_turns_the_box(tmp_path: Path) -> None:
    file = small(
        tmp_path, annotations=turned_objects(attributes={"occluded": False, "rotation": 90.0, "id": 3})
    )
    expected = torch.zeros(120, 160, dtype=torch.bool)
    expected[0:110, 70:90] = True
    assert torch.equal(of(file).annotation("a").inside("mug", (120, 160)), expected)
    for degrees in (0, 0.0, None, 180, 360):
        content = json.loads(file.read_text())
        content["annotations"] = turned_objects(attributes={"rotation": degrees})
        file.write_text(json.dumps(content))
        assert of(file).annotation("a").boxes == (Box("mug", 21, 41, 140, 60),)


def test_digests_see_a_rotation(tmp_path: Path) -> None:
    file = small(tmp_path, annotations=turned_objects())
    before = of(file).digests()
    content = json.loads(file.read_text())
    content["annotations"] = turned_objects(attributes={"rotation": 30})
    file.write_text(json.dumps(content))
    assert of(file).digests() != before


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"bbox": [80, 60, 40, 20, 30]}, "five numbers, of which one turns the box"),
        ({"rotation": 30}, "what rotation 30 does to the box differs from tool to tool"),
        ({"angle": -0.5}, "what angle -0.5 does"),
        ({"attributes": {"rotation": "30"}}, "rotation '30' is no number of degrees"),
        ({"attributes": {"rotation": float("nan")}}, "rotation nan is no number"),
        ({"bbox": [-60, 10, 100, 4], "attributes": {"rotation": 90}}, "outside"),
    ],
)
def test_what_may_turn_a_box_is_not_taken_unturned(
    tmp_path: Path, more: dict[str, Any], message: str
) -> None:
    dataset = of(small(tmp_path, annotations=turned_objects(**more)))
    with pytest.raises(DataError, match=message):
        dataset.annotation("a")


def test_an_object_that_was_never_drawn_is_left_out_and_counted(tmp_path: Path) -> None:
    empty = {"image_id": 1, "category_id": 2, "bbox": [0, 0, 0, 0], "area": 0, "segmentation": []}
    objects = [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 30, 40, 60]},
        empty | {"id": 2},
        empty | {"id": 3, "image_id": 2},
    ]
    images = [A, A | {"id": 2, "file_name": "b.png"}]
    dataset = of(small(tmp_path, images=images, annotations=objects))
    assert dataset.annotation("a").class_names == ["mug"]
    assert (list(dataset.images), dataset.left_out) == (["a"], 1)
    assert dataset.notes == (
        f"{tmp_path / 'a.json'}: objects left out whose box has neither width nor height: 2",
    )
    assert dataset.classes == ("mug", "plate"), "outputs stand for the same classes as if it had been drawn"
    assert of(tmp_path / "a.json", region="boxes", classes=("plate", "mug")).notes == dataset.notes


def test_outlines_without_a_box_are_objects(tmp_path: Path) -> None:
    objects = turned_objects(bbox=[0, 0, 0, 0], segmentation=[[20, 30, 60, 30, 60, 90]], angle=30)
    dataset = of(small(tmp_path, annotations=objects), region="masks")
    assert dataset.notes == ()
    assert dataset.annotation("a").inside("mug", (120, 160)).sum() > 1000
