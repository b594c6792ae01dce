"""The VOC reader: exact counts on the real set, and one clear line for everything unusable."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from conftest import write_annotation
from PIL import Image

from adasise_bench.data.config import DataConfig
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.selection import chosen_images
from adasise_bench.data.voc import VOC_CLASSES, open_voc, read_annotation
from adasise_bench.utils.errors import ConfigError, DataError


def test_all_annotations_of_voc_2007_test(shared: Path, tmp_path: Path) -> None:
    with tarfile.open(shared / "data" / "voc2007_test_annotations.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    dataset = open_voc(tmp_path, "2007", "test")
    annotations = [dataset.annotation(image_id) for image_id in dataset.images]
    boxes = [box for annotation in annotations for box in annotation.boxes]
    assert len(annotations) == 4952
    assert len(boxes) == 14976
    assert sum(box.difficult for box in boxes) == 2944
    assert sum(len(annotation.class_names) for annotation in annotations) == 7632


def test_the_real_pictures_fit_their_annotations(shared: Path) -> None:
    dataset = open_voc(shared / "data", "2007", "test")
    annotations = {image_id: dataset.annotation(image_id) for image_id in dataset.images}
    assert len(annotations) == 91
    assert sum(len(annotation.class_names) for annotation in annotations.values()) == 153
    assert {name for annotation in annotations.values() for name in annotation.class_names} == set(
        VOC_CLASSES
    )
    for image_id, annotation in annotations.items():
        assert dataset.picture(image_id, annotation).size == annotation.picture_size


def test_classes_are_torchrays() -> None:
    from torchray.benchmark.datasets import VOC_CLASSES as TORCHRAY_CLASSES

    assert list(VOC_CLASSES) == TORCHRAY_CLASSES == sorted(VOC_CLASSES)


def test_reads_sizes_boxes_and_distinct_classes(voc_root: Path) -> None:
    dataset = open_voc(voc_root, "2007", "test")
    annotation = dataset.annotation("000001")
    assert annotation.picture_size == (60, 40)
    assert annotation.class_names == ["dog", "person"]
    assert annotation.boxes[1][:5] == ("dog", 31, 11, 60, 40)


def test_digests_see_every_byte_of_their_picture_only(voc_root: Path) -> None:
    dataset = open_voc(voc_root, "2007", "test")
    before = dataset.digests()
    assert before == open_voc(voc_root, "2007", "test").digests()
    assert list(before) == ["000001", "000002", "000003"]
    with dataset.images["000002"].open("ab") as file:
        file.write(b"x")
    changed = dataset.digests()
    dataset.images["000002"].unlink()
    gone = dataset.digests()
    assert len({digests["000002"] for digests in (before, changed, gone)}) == 3
    assert {name for name in before if before[name] != gone[name]} == {"000002"}


def test_nothing_is_downloaded_into_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; make it"):
        open_voc(tmp_path / "typo", "2007", "test", download=True)
    assert not (tmp_path / "typo").exists()


def test_the_default_folder_need_not_be_there_for_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(root: str, *_set: str, download: bool) -> None:
        assert download
        raise RuntimeError(f"downloads into {root}")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torchvision.datasets.VOCDetection", download)
    with pytest.raises(DataError, match=rf"\(downloads into {tmp_path}/data\)"):
        open_dataset(DataConfig(download=True))


def test_a_blank_line_in_the_list_is_no_picture_and_binary_is_no_list(voc_root: Path) -> None:
    listing = voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    listing.write_text("000001\n\n000003\n")
    assert list(open_voc(voc_root, "2007", "test").images) == ["000001", "000003"]
    listing.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"test\.txt is not text"):
        open_voc(voc_root, "2007", "test")


def test_an_unknown_encoding_is_malformed_xml(voc_root: Path) -> None:
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml"
    path.write_text('<?xml version="1.0" encoding="foo"?>' + path.read_text())
    with pytest.raises(DataError, match="malformed XML"):
        open_voc(voc_root, "2007", "test").annotation("000001")


@pytest.mark.parametrize(
    ("year", "image_set", "error", "message"),
    [
        ("2007", "tset", ConfigError, "image_set"),
        ("1999", "test", ConfigError, "data.year=1999"),
        ("2007", "train", DataError, "no VOC 2007 train set"),
    ],
)
def test_unknown_lists(
    voc_root: Path, year: str, image_set: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        open_voc(voc_root, year, image_set)


def test_missing_root_names_the_cure(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.root"):
        open_voc(tmp_path / "absent", "2007", "test")


BAD_XML = {
    "torn": "<annotation><size>",
    "empty": "",
    "other": "<html/>",
    "no size": "<annotation><object><name>dog</name></object></annotation>",
    "no objects": "<annotation><size><width>5</width><height>5</height></size></annotation>",
    "entity bomb": '<!DOCTYPE a [<!ENTITY b "bb"><!ENTITY c "&b;&b;">]><annotation>&c;</annotation>',
    "external entity": '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><annotation>&b;</annotation>',
}


@pytest.mark.parametrize("kind", BAD_XML)
def test_malformed_annotations(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(BAD_XML[kind])
    with pytest.raises(DataError, match=r"bad\.xml") as caught:
        read_annotation(path, VOC_CLASSES)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        (("unicorn", 1, 1, 5, 5), "class 'unicorn'"),
        (("dog", 9, 1, 5, 5), "swapped"),
        (("dog", 90, 1, 95, 5), "outside"),
        (("dog", "nan", 1, 5, 5), "not a VOC annotation"),
        (("dog", "x", 1, 5, 5), "not a VOC annotation"),
    ],
)
def test_impossible_objects(tmp_path: Path, box: tuple[str, int, int, int, int], message: str) -> None:
    path = tmp_path / "bad.xml"
    write_annotation(path, (50, 50), [box])
    with pytest.raises(DataError, match=message):
        read_annotation(path, VOC_CLASSES)


def test_unusable_pictures(voc_root: Path) -> None:
    dataset = open_voc(voc_root, "2007", "test")
    annotation = dataset.annotation("000001")
    path = dataset.images["000001"]
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"not a picture"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"000001\.jpg"):
            dataset.picture("000001", annotation)
    Image.new("RGB", (10, 10)).save(path)
    with pytest.raises(DataError, match="10x10 pixels, its annotation says 60x40"):
        dataset.picture("000001", annotation)
    path.unlink()
    with pytest.raises(DataError, match="cannot read the picture"):
        dataset.picture("000001", annotation)


def test_sample_is_seeded_and_limit_is_a_prefix(voc_root: Path) -> None:
    dataset = open_voc(voc_root, "2007", "test")
    assert chosen_images(dataset.images, None, 0, 2) == ["000001", "000002"]
    samples = {tuple(chosen_images(dataset.images, 2, seed, None)) for seed in range(20)}
    assert len(samples) == 3
    assert chosen_images(dataset.images, 2, 4, None)[:1] == chosen_images(dataset.images, 2, 4, 1)
    assert chosen_images(dataset.images, 50, 0, None) == list(dataset.images)


def test_root_that_may_not_be_read_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "exists", refuse)
    with pytest.raises(DataError, match="no VOC 2007 test set here"):
        open_voc(tmp_path, "2007", "test")


def changed(root: Path, image_id: str, before: str, after: str) -> None:
    path = root / "VOCdevkit/VOC2007/Annotations" / f"{image_id}.xml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after, 1))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_picture_without_objects_is_left_out_and_counted(voc_root: Path, encoding: str) -> None:
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000002.xml"
    write_annotation(path, (40, 60), [])
    path.write_bytes(path.read_text().encode(encoding))
    dataset = open_voc(voc_root, "2007", "test")
    assert list(dataset.images) == ["000001", "000003"]
    assert dataset.left_out == 1
    whole = voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml"
    whole.write_bytes(f'<?xml version="1.0" encoding="UTF-16"?>{whole.read_text()}'.encode("utf-16"))
    assert list(open_voc(voc_root, "2007", "test").images) == ["000001", "000003"]


def test_a_set_without_any_object_is_refused(voc_root: Path) -> None:
    for image_id in ("000001", "000002", "000003"):
        write_annotation(voc_root / f"VOCdevkit/VOC2007/Annotations/{image_id}.xml", (40, 60), [])
    with pytest.raises(DataError, match="no picture of VOC 2007 test has an object"):
        open_voc(voc_root, "2007", "test")


def test_whole_sizes_may_be_written_as_floats(voc_root: Path) -> None:
    changed(
        voc_root, "000001", "<width>60</width><height>40</height>", "<width>60.0</width><height>40.0</height>"
    )
    dataset = open_voc(voc_root, "2007", "test")
    assert dataset.annotation("000001").picture_size == (60, 40)


def test_a_list_of_one_class_gives_the_pictures_that_show_it(voc_root: Path) -> None:
    listing = voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    listing.write_text("000001  1\n000002 -1\n000003  0\n")
    dataset = open_voc(voc_root, "2007", "test")
    assert list(dataset.images) == ["000001", "000003"]
    assert dataset.annotation("000003").class_names == ["cat"]
    assert dataset.picture("000003", dataset.annotation("000003")).size == (50, 30)
    (note,) = dataset.notes
    assert "2 pictures with 0 or 1 taken, 1 with -1 left out" in note


def test_names_that_end_in_a_number_are_names_where_there_are_such_pictures(voc_root: Path) -> None:
    base = voc_root / "VOCdevkit/VOC2007"
    for number in (1, 2):
        (base / f"JPEGImages/00000{number}.jpg").rename(base / f"JPEGImages/cat {number - 1}.jpg")
        (base / f"Annotations/00000{number}.xml").rename(base / f"Annotations/cat {number - 1}.xml")
    (base / "ImageSets/Main/test.txt").write_text("cat 0\ncat 1\n")
    dataset = open_voc(voc_root, "2007", "test")
    assert (list(dataset.images), dataset.notes) == (["cat 0", "cat 1"], ())


ROTATION = "<attribute><name>rotation</name><value>{}</value></attribute>"
OCCLUDED = "<attribute><name>occluded</name><value>0</value></attribute>"


@pytest.mark.parametrize("others", ["", OCCLUDED])
def test_a_rotation_among_the_attributes_turns_the_box(voc_root: Path, others: str) -> None:
    attributes = f"<attributes>{others}{ROTATION.format(90.0)}</attributes></object>"
    changed(voc_root, "000002", "</object>", attributes)
    (box,) = open_voc(voc_root, "2007", "test").annotation("000002").boxes
    assert box[:5] == ("person", -4, 26, 35, 35)


def test_a_turned_box_of_rolabelimg(voc_root: Path) -> None:
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000002.xml"
    path.write_text(
        "<annotation><size><width>40</width><height>60</height><depth>3</depth></size><object>"
        "<type>robndbox</type><name>person</name><robndbox><cx>20</cx><cy>30</cy><w>20</w><h>10</h>"
        "<angle>0.5235987755982988</angle></robndbox></object></annotation>"
    )
    (box,) = open_voc(voc_root, "2007", "test").annotation("000002").boxes
    assert box[:5] == ("person", 11, 26, 30, 35)
    assert box.rotation == pytest.approx(30)


def test_a_rotation_that_is_no_number_is_refused(voc_root: Path) -> None:
    changed(voc_root, "000002", "</object>", f"<attributes>{ROTATION.format('left')}</attributes></object>")
    with pytest.raises(DataError, match=r"000002\.xml: not a VOC annotation"):
        open_voc(voc_root, "2007", "test").annotation("000002")
