"""Annotation files that are bombs, junk, or say what cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import write_annotation
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from refusals import accepted, fifo, flipped, refused

from adasise_bench.data.boxes import box_mask
from adasise_bench.data.voc import VOC_CLASSES, Annotation, open_voc, read_annotation
from adasise_bench.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("bounded")


def document(size: str = "", objects: str = "", before: str = "") -> bytes:
    size = size or "<size><width>60</width><height>40</height><depth>3</depth></size>"
    return f"{before}<annotation>{size}{objects}</annotation>".encode()


def entry(name: str = "<name>dog</name>", corners: str = "", more: str = "") -> str:
    corners = corners or "<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax>"
    return f"<object>{name}<bndbox>{corners}</bndbox>{more}</object>"


def corners(*values: object) -> str:
    names = ("xmin", "ymin", "xmax", "ymax")
    return "".join(f"<{name}>{value}</{name}>" for name, value in zip(names, values, strict=True))


def size(width: object, height: object) -> str:
    return f"<size><width>{width}</width><height>{height}</height></size>"


SOUND = document(objects=entry())
LAUGHS = "".join(f'<!ENTITY l{i} "{f"&l{i - 1};" * 10}">' for i in range(1, 30))

REFUSED = {
    "laughs": document(
        before=f'<!DOCTYPE a [<!ENTITY l0 "ha">{LAUGHS}]>', objects=entry("<name>&l29;</name>")
    ),
    "quadratic": document(before=f'<!DOCTYPE a [<!ENTITY q "{"q" * 9000}">]>', objects="&q;" * 9000),
    "file entity": document(before='<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd">]>', objects="&f;"),
    "web entity": document(before='<!DOCTYPE a [<!ENTITY f SYSTEM "http://localhost:9/x">]>', objects="&f;"),
    "parameter entity": document(before='<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>'),
    "external DTD": document(before='<!DOCTYPE a SYSTEM "http://localhost:9/x.dtd">', objects=entry()),
    "unknown entity": document(objects=entry("<name>&dog;</name>")),
    "deep": b"<a>" * 30_000,
    "deep and closed": b"<annotation>" + b"<a>" * 30_000 + b"</a>" * 30_000 + b"</annotation>",
    "deep in a part": document(objects=entry(more="<part>" * 5000 + "</part>" * 5000)),
    "many attributes": b"<annotation " + b" ".join(b'a%d="1"' % i for i in range(20_000)) + b"/>",
    "megabytes of nothing": document(before=" " * 3_000_000, objects=entry()),
    "megabytes of comment": document(before=f"<!--{'x' * 3_000_000}-->", objects=entry()),
    "nothing": b"",
    "blank": b"  \n",
    "zeros": bytes(300),
    "no markup": b"dog 1 1 5 5",
    "JPEG": b"\xff\xd8\xff\xe0" + bytes(90),
    "pickle": b"\x80\x04cos\nsystem\n\x8c\x0etouch executed\x85R.",
    "JSON": b'{"annotation": {}}',
    "two roots": SOUND * 2,
    "junk behind": SOUND + b"x",
    "unknown encoding": b'<?xml version="1.0" encoding="x-none"?>' + SOUND,
    "codec of bytes": b'<?xml version="1.0" encoding="bz2"?>' + SOUND,
    "codec rot13": b'<?xml version="1.0" encoding="rot13"?>' + SOUND,
    "codec idna": b'<?xml version="1.0" encoding="idna"?>' + SOUND,
    "Shift-JIS": b'<?xml version="1.0" encoding="shift_jis"?>' + SOUND,
    "EUC-KR": b'<?xml version="1.0" encoding="euc_kr"?>' + SOUND,
    "UTF-32": SOUND.decode().encode("utf-32"),
    "UTF-16 said, UTF-8 meant": b'<?xml version="1.0" encoding="utf-16"?>' + SOUND,
    "Latin-1 unsaid": document(objects=entry("<name>d\xf6g</name>")).decode().encode("latin-1"),
    "control characters": document(objects=entry("<name>\x01</name>")),
    "root of another name": b"<voc>" + SOUND[12:-13] + b"</voc>",
    "namespace": SOUND.replace(b"<annotation>", b'<annotation xmlns="urn:x">'),
    "only text": b"<annotation>dog</annotation>",
    "empty root": b"<annotation/>",
    "no size": document(size="<depth>3</depth>", objects=entry()),
    "empty size": document(size="<size/>", objects=entry()),
    "size without height": document(size="<size><width>5</width></size>", objects=entry()),
    "two sizes": document(size=size(60, 40) * 2, objects=entry()),
    "two widths": document(
        size="<size><width>5</width><width>5</width><height>5</height></size>", objects=entry()
    ),
    "zero wide": document(size=size(0, 40), objects=entry()),
    "negative": document(size=size(-60, -40), objects=entry()),
    "width in words": document(size=size("sixty", 40), objects=entry()),
    "width not a number": document(size=size("nan", 40), objects=entry()),
    "width infinite": document(size=size("inf", 40), objects=entry()),
    "width with a point": document(size=size("60.5", 40), objects=entry()),
    "width of 9000 digits": document(size=size("9" * 9000, 40), objects=entry()),
    "width nested": document(size=size("<a>60</a>", 40), objects=entry()),
    "no objects": document(),
    "empty object": document(objects="<object/>"),
    "object of text": document(objects="<object>dog</object>"),
    "no name": document(objects=entry(name="")),
    "empty name": document(objects=entry("<name/>")),
    "two names": document(objects=entry("<name>dog</name>" * 2)),
    "nested name": document(objects=entry("<name><name>dog</name></name>")),
    "unknown class": document(objects=entry("<name>unicorn</name>")),
    "capital class": document(objects=entry("<name>Dog</name>")),
    "foreign class": document(objects=entry("<name>собака</name>")),
    "long class": document(objects=entry(f"<name>{'dog' * 9000}</name>")),
    "class of lines": document(objects=entry("<name>dog\n\n\tdog</name>")),
    "traversing class": document(objects=entry("<name>../../dog</name>")),
    "one good, one unknown": document(objects=entry() + entry("<name>unicorn</name>")),
    "no box": document(objects="<object><name>dog</name></object>"),
    "empty box": document(objects="<object><name>dog</name><bndbox/></object>"),
    "two boxes": document(
        objects="<object><name>dog</name>" + f"<bndbox>{corners(1, 1, 5, 5)}</bndbox>" * 2 + "</object>"
    ),
    "missing corner": document(objects=entry(corners="<xmin>1</xmin><ymin>1</ymin><xmax>9</xmax>")),
    "corner twice": document(objects=entry(corners=corners(1, 1, 9, 9) + "<xmin>2</xmin>")),
    "empty corner": document(objects=entry(corners=corners("", 1, 9, 9))),
    "corner in words": document(objects=entry(corners=corners("one", 1, 9, 9))),
    "corner NaN": document(objects=entry(corners=corners("nan", 1, 9, 9))),
    "corner infinite": document(objects=entry(corners=corners(1, 1, "inf", 9))),
    "corner -infinite": document(objects=entry(corners=corners("-inf", 1, 9, 9))),
    "corner beyond floats": document(objects=entry(corners=corners(1, 1, "1e999", 9))),
    "corner in hexadecimal": document(objects=entry(corners=corners("0x1", 1, 9, 9))),
    "swapped x": document(objects=entry(corners=corners(9, 1, 1, 9))),
    "swapped y": document(objects=entry(corners=corners(1, 9, 9, 1))),
    "right of the picture": document(objects=entry(corners=corners(61, 1, 70, 9))),
    "below the picture": document(objects=entry(corners=corners(1, 41, 9, 50))),
    "left of the picture": document(objects=entry(corners=corners(-9, 1, 0, 9))),
    "above the picture": document(objects=entry(corners=corners(1, -9, 9, 0))),
    "far outside": document(objects=entry(corners=corners("1e308", 1, "1.1e308", 9))),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.xml"
    path.write_bytes(REFUSED[kind])
    refused(lambda: read_annotation(path, VOC_CLASSES), f"{path}: ", kind=DataError)


@pytest.mark.parametrize("share", range(0, 100, 5))
def test_truncated(tmp_path: Path, share: int) -> None:
    path = tmp_path / "hostile.xml"
    path.write_bytes(SOUND[: len(SOUND) * share // 100])
    refused(lambda: read_annotation(path, VOC_CLASSES), f"{path}: ", kind=DataError)


def filled(annotation: Annotation) -> int:
    return int(box_mask(annotation.boxes, annotation.picture_size, (8, 8)).sum())


ODD = {
    "UTF-16": (SOUND.decode().encode("utf-16"), None),
    "byte order mark": (b"\xef\xbb\xbf" + SOUND, None),
    "Latin-1": (b'<?xml version="1.0" encoding="latin-1"?><!-- \xe4 -->' + SOUND, None),
    "Windows-1252": (b'<?xml version="1.0" encoding="cp1252"?><!-- \x80 -->' + SOUND, None),
    "instructions": (b"<?php system('touch executed') ?>" + SOUND, None),
    "an object twice": (document(objects=entry() * 2), None),
    "larger than the picture": (document(objects=entry(corners=corners(-50, -50, 999, 999))), 64),
    "as large as floats go": (
        document(objects=entry(corners=corners("-1e308", "-1e308", "1e308", "1e308"))),
        64,
    ),
    "one pixel": (document(objects=entry(corners=corners(1, 1, 1, 1))), 1),
    "no width": (document(objects=entry(corners=corners("1.5", "1.5", "1.5", "1.5"))), 1),
    "huge picture": (document(size=size(10**18, 10**18), objects=entry()), 1),
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_but_possible(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.xml"
    path.write_bytes(ODD[kind][0])
    annotation = read_annotation(path, VOC_CLASSES)
    assert annotation.class_names == ["dog"]
    assert ODD[kind][1] in (None, filled(annotation))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_flipped_bits(tmp_path: Path, seed: int, bits: int) -> None:
    path = tmp_path / "hostile.xml"
    path.write_bytes(flipped(SOUND, seed, bits))
    annotation = accepted(lambda: read_annotation(path, VOC_CLASSES), f"{path}: ")
    assert annotation is None or filled(annotation) >= 1


_texts = st.text(st.characters(codec="utf-8", exclude_characters="<&"), max_size=5)
_numbers = (st.integers() | st.floats()).map(str) | _texts


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_numbers, min_size=6, max_size=6), _texts | st.sampled_from(VOC_CLASSES))
def test_any_numbers(tmp_path: Path, numbers: list[str], name: str) -> None:
    path = tmp_path / "hostile.xml"
    width, height, *edges = numbers
    objects = entry(f"<name>{name}</name>", corners(*edges))
    path.write_bytes(document(size(width, height), objects))
    annotation = accepted(lambda: read_annotation(path, VOC_CLASSES), f"{path}: ")
    assert annotation is None or filled(annotation) >= 1


def test_what_is_no_file(tmp_path: Path) -> None:
    for path in (
        tmp_path,
        tmp_path / "a\0b",
        tmp_path / "no.xml",
        Path("/dev/zero"),
        fifo(tmp_path / "p.xml"),
    ):
        refused(lambda path=path: read_annotation(path, VOC_CLASSES), kind=DataError)  # type: ignore[misc]


@pytest.mark.parametrize(
    "line",
    ["../../../../../etc/hosts", "/etc/hosts", "a/000001", "a\0b", "a\x1b[31mb", "a\u2028b", "a\u202eb"],
)
def test_lists_of_what_is_no_name(voc_root: Path, line: str) -> None:
    listing = voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    listing.write_text(f"000001\n{line}\n", encoding="utf-8")
    refused(lambda: open_voc(voc_root, "2007", "test"), "test.txt names", kind=DataError)


@pytest.mark.parametrize(
    "line", ["..", "...", " 000002 ", "000002 1", "äöü", "x" * 3000, "$(touch executed)", "%s%n"]
)
def test_lists_of_odd_names(voc_root: Path, line: str) -> None:
    listing = voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    listing.write_text(f"000001\n{line}\n000001\n", encoding="utf-8")
    dataset = open_voc(voc_root, "2007", "test")
    name = line.strip()
    assert list(dataset.images) == ["000001", name]
    assert len(dataset.digests()) == 2
    if name != "000002":
        refused(lambda: dataset.annotation(name), kind=DataError)


def test_a_pair_of_annotations_of_which_one_is_hostile_leaves_the_other(voc_root: Path) -> None:
    write_annotation(
        voc_root / "VOCdevkit/VOC2007/Annotations/000002.xml", (60, 40), [("unicorn", 1, 1, 2, 2)]
    )
    dataset = open_voc(voc_root, "2007", "test")
    refused(lambda: dataset.annotation("000002"), "000002.xml")
    assert dataset.annotation("000001").class_names == ["dog", "person"]
