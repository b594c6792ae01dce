"""COCO annotation files that are bombs, junk, or say what cannot be."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from coco_layout import FIVE, name, tree, write_coco
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import accepted, command, fifo, flipped, refused

from adasise_bench.data.coco import CocoDataset, open_coco
from adasise_bench.data.segmentation import Outline, decompressed
from adasise_bench.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("bounded")

SOUND = json.dumps(tree()).encode()

JUNK = {
    "nothing": b"",
    "blank": b" \n",
    "zeros": bytes(300),
    "torn": SOUND[:-300],
    "junk behind": SOUND + b"x",
    "two documents": SOUND * 2,
    "XML": b"<annotation/>",
    "pickle": b"\x80\x04cos\nsystem\n\x8c\x0etouch executed\x85R.",
    "Latin-1": b'{"images": "\xf6"}',
    "deep lists": b"[" * 100_000,
    "deep mappings": b'{"images":' * 100_000,
    "deep closed": b"[" * 100_000 + b"]" * 100_000,
    "a list": b"[]",
    "null": b"null",
    "a number of 9000 digits": b'{"images": ' + b"9" * 9000 + b"}",
    "no images": json.dumps(tree() | {"images": []}).encode(),
    "images of numbers": json.dumps(tree() | {"images": [1, 2]}).encode(),
    "annotations are images": json.dumps(tree() | {"annotations": tree()["images"]}).encode(),
    "a mapping of annotations": json.dumps(tree() | {"annotations": {"1": 2}}).encode(),
    "no categories": json.dumps({k: v for k, v in tree().items() if k != "categories"}).encode(),
    "results instead of annotations": json.dumps(tree()["annotations"]).encode(),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_coco(tmp_path / "coco")


def opened(file: Path, region: Any = "masks") -> CocoDataset:
    return open_coco("hostile", file, file.parents[1] / "val2014", region)


@pytest.mark.parametrize("kind", JUNK)
def test_what_is_no_annotation_file_is_refused(file: Path, kind: str) -> None:
    file.write_bytes(JUNK[kind])
    refused(lambda: opened(file), f"{file}: ", kind=DataError)


def test_pipes_folders_and_nothing_are_refused(file: Path) -> None:
    file.unlink()
    refused(lambda: opened(file), f"{file}: ", "data.annotations", kind=DataError)
    fifo(file)
    refused(lambda: opened(file), f"{file}: ", kind=DataError)
    refused(lambda: open_coco("x", file, file.parent / "none"), "data.images", kind=DataError)


def changed(part: str, index: int, **values: Any) -> bytes:
    content = tree()
    content[part][index].update(values)
    return json.dumps(content).encode()


REFUSED_AT_ONCE: dict[str, tuple[bytes, str]] = {
    "a path out": (changed("images", 0, file_name="../../secret.jpg"), "secret"),
    "a path out below": (changed("images", 0, file_name="a/../../secret.jpg"), "secret"),
    "a path from the root": (changed("images", 0, file_name="/etc/passwd"), "passwd"),
    "a path of another system": (changed("images", 0, file_name="..\\secret.jpg"), "secret"),
    "a zero in a path": (changed("images", 0, file_name="a\0.jpg"), "file_name"),
    "a line break in a path": (changed("images", 0, file_name="a\n.jpg"), "file_name"),
    "escapes in a path": (changed("images", 0, file_name="\x1b[31m.jpg"), "file_name"),
    "no path": (changed("images", 0, file_name=""), "file_name"),
    "the folder itself": (changed("images", 0, file_name="."), "file_name"),
    "a long path": (changed("images", 0, file_name="x" * 10_000), "file_name"),
    "a number as path": (changed("images", 0, file_name=5), "file_name"),
    "a list as path": (changed("images", 0, file_name=["a"]), "file_name"),
    "the same path": (changed("images", 0, file_name=f"{name(2)}.jpg"), "same file_name"),
    "the same id": (changed("images", 0, id=2), "id is missing or used twice"),
    "a list as id": (changed("images", 0, id=[1]), "id is missing"),
    "true as id": (changed("images", 0, id=True), "id is missing"),
    "of no image": (changed("annotations", 0, image_id=999), "999"),
    "of a list of images": (changed("annotations", 0, image_id=[1]), "[1]"),
    "of no category": (changed("annotations", 0, category_id=12), "category 12"),
    "of a mapping of categories": (changed("annotations", 0, category_id={}), "category {}"),
    "a category twice": (changed("categories", 0, id=2), "used twice"),
    "a class twice": (changed("categories", 0, name="dog"), "'dog' is there twice"),
    "a class that is a path": (changed("categories", 0, name="../../x"), "../../x"),
    "a class with a line break": (changed("categories", 0, name="a\nb"), "no printable name"),
    "a class without a name": (changed("categories", 0, name=" "), "no printable name"),
    "a class that is a number": (changed("categories", 0, name=5), "no printable name"),
    "a long class": (changed("categories", 0, name="x" * 5000), "at most 80"),
}


@pytest.mark.parametrize("kind", REFUSED_AT_ONCE)
def test_what_names_nothing_or_leads_out_is_refused(file: Path, kind: str) -> None:
    content, said = REFUSED_AT_ONCE[kind]
    file.write_bytes(content)
    refused(lambda: opened(file), f"{file}: ", said, "mend the file", kind=DataError)


POLYGON = [1, 1, 9, 1, 9, 9]

REFUSED_ALONE: dict[str, dict[str, Any]] = {
    "no box": {"bbox": None},
    "three numbers": {"bbox": [1, 2, 3]},
    "a text as box": {"bbox": "1234"},
    "texts in a box": {"bbox": ["1", "2", "3", "4"]},
    "truths in a box": {"bbox": [True, True, True, True]},
    "not a number": {"bbox": [float("nan"), 1, 2, 3]},
    "infinite": {"bbox": [1, 1, float("inf"), 3]},
    "a huge integer": {"bbox": [1, 1, 10**4000, 3]},
    "negative side": {"bbox": [5, 5, -3, 3]},
    "right of the picture": {"bbox": [60, 5, 3, 3]},
    "left of the picture": {"bbox": [-9, 5, 3, 3]},
    "below the picture": {"bbox": [5, 40, 3, 3]},
    "deep box": {"bbox": [[[[[[[1]]]]]]] * 4},
    "no outline": {"segmentation": None},
    "no polygons": {"segmentation": []},
    "an empty polygon": {"segmentation": [[]]},
    "a polygon of two points": {"segmentation": [[1, 1, 9, 9]]},
    "an odd polygon": {"segmentation": [[*POLYGON, 3]]},
    "a polygon of points": {"segmentation": [[[1, 1], [9, 1], [9, 9]]]},
    "a polygon of texts": {"segmentation": [["1", "1", "9", "1", "9", "9"]]},
    "a text as polygons": {"segmentation": "polygon"},
    "polygon of NaN": {"segmentation": [[*POLYGON[:5], float("nan")]]},
    "polygon of infinity": {"segmentation": [[*POLYGON[:5], float("inf")]]},
    "polygon far away": {"segmentation": [[*POLYGON[:5], 1e9]]},
    "polygon of a huge integer": {"segmentation": [[*POLYGON[:5], 10**4000]]},
    "run lengths of another size": {"segmentation": {"size": [60, 40], "counts": [2400]}},
    "run lengths without size": {"segmentation": {"counts": [2400]}},
    "no run lengths": {"segmentation": {"size": [40, 60]}},
    "too short": {"segmentation": {"size": [40, 60], "counts": [2399]}},
    "too long": {"segmentation": {"size": [40, 60], "counts": [2400, 1]}},
    "beyond 32 bits": {"segmentation": {"size": [40, 60], "counts": [2**32 + 2400]}},
    "negative run": {"segmentation": {"size": [40, 60], "counts": [2401, -1]}},
    "run of a float": {"segmentation": {"size": [40, 60], "counts": [2400.0]}},
    "run of true": {"segmentation": {"size": [40, 60], "counts": [2399, True]}},
    "text that never ends": {"segmentation": {"size": [40, 60], "counts": "ooo"}},
    "text of other letters": {"segmentation": {"size": [40, 60], "counts": "~~~\0"}},
    "text beyond 64 bits": {"segmentation": {"size": [40, 60], "counts": "o" * 30 + "0"}},
}


@pytest.mark.parametrize("kind", REFUSED_ALONE)
def test_an_impossible_object_spoils_its_own_picture_only(file: Path, kind: str) -> None:
    file.write_bytes(changed("annotations", 0, **REFUSED_ALONE[kind]))
    dataset = opened(file)
    refused(lambda: dataset.annotation(name(1)), f"{file}: ", name(1), "annotation 100", kind=DataError)
    assert dataset.annotation(name(2)).inside("tvmonitor", (8, 8)).any()
    assert len(dataset.digests()) == 4


@pytest.mark.parametrize(
    "size", [(0, 5), (-60, -40), (60.5, 40), (float("inf"), 40), ("60", 40), (None, 40), (10**9, 10**9)]
)
def test_impossible_sizes_are_refused(file: Path, size: tuple[Any, Any]) -> None:
    file.write_bytes(changed("images", 0, width=size[0], height=size[1]))
    refused(lambda: opened(file).annotation(name(1)), f"{file}: ", "size", kind=DataError)


def test_a_picture_of_another_size_or_kind_is_refused(file: Path) -> None:
    content = tree()
    content["images"][0].update(width=61)
    content["images"][1]["file_name"] = f"{name(1)}.jpg"
    content["images"][0]["file_name"] = f"{name(2)}.jpg"
    for entry in content["annotations"]:
        entry["segmentation"] = [[1, 1, 5, 1, 5, 5]]
    file.write_text(json.dumps(content))
    dataset = opened(file)
    annotation = dataset.annotation(name(2))
    refused(lambda: dataset.picture(name(2), annotation), "its annotation says 61x40", kind=DataError)
    dataset.images[name(3)].write_bytes(b"GIF89a")
    refused(lambda: dataset.picture(name(3), dataset.annotation(name(3))), "no JPEG or PNG", kind=DataError)
    dataset.images[name(4)].unlink()
    refused(lambda: dataset.picture(name(4), dataset.annotation(name(4))), name(4), kind=DataError)


@given(st.integers(0, 10**9))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_flipped_bits_are_refused_or_harmless(file: Path, seed: int) -> None:
    file.write_bytes(flipped(SOUND, seed))
    dataset = accepted(lambda: opened(file), f"{file}: ")
    for image_id in dataset.images if dataset else ():
        annotation = accepted(lambda image_id=image_id: dataset.annotation(image_id), f"{file}: ")
        if annotation:
            assert annotation.inside(annotation.class_names[0], (8, 8)).any()


@settings(deadline=None)
@given(st.text(alphabet=[chr(k) for k in range(44, 115)], max_size=40))
def test_compressed_run_lengths_are_read_or_refused(text: str) -> None:
    def read() -> Outline:
        return Outline.of({"size": [4, 5], "counts": text}, (5, 4))

    try:
        outline = read()
    except ValueError:
        return
    assert list(outline.runs) == decompressed(text)
    assert outline.pixels().shape == (4, 5)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["bbox", "segmentation", "image_id", "category_id", "id"]), values)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_value_is_read_or_refused(file: Path, key: str, value: Any) -> None:
    file.write_bytes(changed("annotations", 1, **{key: value}))
    dataset = accepted(lambda: opened(file), f"{file}: ")
    if dataset:
        annotation = accepted(lambda: dataset.annotation(name(1)), f"{file}: ")
        if annotation:
            assert annotation.picture_size == FIVE[1]
            assert annotation.inside("dog", (8, 8)).any()


SETTINGS: dict[str, tuple[list[str], str]] = {
    "download": (["data.layout=coco", "data.download=true"], "data.download"),
    "scenes": (["data.layout=coco", "data.root=embedded"], "data.layout"),
    "classes": (["data.layout=coco", "data.classes=[a, a]"], "data.classes"),
    "a path as year": (["data.layout=coco", "data.year=../2014"], "data.year"),
    "masks of VOC": (["data.region=masks"], "data.region"),
    "pictures of VOC": (["data.images=x"], "data.images"),
    "annotations of VOC": (["data.annotations=x"], "data.annotations"),
    "a class that is a path": (["data.classes=[../x]"], "data.classes"),
    "no classes": (["data.classes=[]"], "data.classes"),
    "another layout": (["data.layout=yolo"], "data.layout"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_settings_that_do_not_fit_are_one_line(tmp_path: Path, kind: str) -> None:
    overrides, said = SETTINGS[kind]
    config = tmp_path / "mine.yaml"
    config.write_text("models: {resnet50: {}}\nmethods: [sise]\ndata: {root: /nowhere}\n")
    flags: list[Any] = [part for override in overrides for part in ("--set", override)]
    result = command("run", "--config", config, *flags, "--dry-run")
    assert result.exit_code == 2
    assert said in result.stderr


@pytest.mark.parametrize("break_it", [lambda root: None, lambda root: (root / "val2014").mkdir(parents=True)])
def test_a_root_without_coco_names_the_cure(tmp_path: Path, break_it: Callable[[Path], None]) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text(
        f"models: {{resnet50: {{}}}}\nmethods: [sise]\ndata: {{layout: coco, root: {tmp_path}/coco}}\n"
    )
    break_it(tmp_path / "coco")
    result = command("run", "--config", config, "--dry-run")
    assert result.exit_code == 3
    assert "data.root" in result.stderr
