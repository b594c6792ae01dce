"""Pictures of a data set and of a person that are torn, bombs, or something else than their name says."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TinyVGG, make_classifier, write_annotation
from PIL import Image
from refusals import accepted, check, command, fifo, flipped, refused
from torch import nn

from adasise_bench.data.pictures import read_picture
from adasise_bench.data.voc import VOC_CLASSES, Annotation, VocDataset
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("bounded")

WIDTH, HEIGHT = 60, 40
PIXELS = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def encoded(fmt: str, image: Image.Image | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    (image or Image.fromarray(PIXELS)).save(buffer, fmt, **options)
    return buffer.getvalue()


JPEG = encoded("JPEG", quality=90)
PNG = encoded("PNG")


def from_set(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Image.Image:
    """The picture as a run reads it."""
    dataset = VocDataset("hostile", VOC_CLASSES, {"1": path}, {"1": path.with_suffix(".xml")})
    assert len(dataset.digest("1")) == 64
    return dataset.picture("1", Annotation(size, ()))


def own(path: Path) -> Image.Image:
    """The picture as ``explain`` reads it."""
    return read_picture(path).image


def png(width: int, height: int, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG whose header says anything."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + body


def resized(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header says another size."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def with_segment(marker: int, data: bytes) -> bytes:
    """The JPEG with one more segment behind its start."""
    return JPEG[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(data) + 2) + data + JPEG[2:]


EPS = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 60 40\n%%EndComments\n"
    b"(executed) (w) file closefile\nshowpage\n"
)

NO_PICTURE = {
    "nothing": b"",
    "one byte": b"\xff",
    "only a start": JPEG[:2],
    "start and end": b"\xff\xd8\xff\xd9",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "text": b"no pixels here",
    "HTML": b"<html><img src=x></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>x</script></svg>',
    "ELF": b"\x7fELF" + bytes(90),
    "pickle": b"\x80\x04cos\nsystem\n\x8c\x0etouch executed\x85R.",
    "ZIP": b"PK\x03\x04" + bytes(90),
    "PDF": b"%PDF-1.4\n%%EOF",
    "EPS": EPS,
    "script": b"#!/bin/sh\ntouch executed\n",
    "Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(90),
    "PPM": b"P6 60 40 255\n" + PIXELS.tobytes(),
    "ICO": encoded("ICO"),
    "PCX": encoded("PCX"),
    "TGA": encoded("TGA"),
    "JPEG 2000": encoded("JPEG2000"),
    "XBM": encoded("XBM", Image.new("1", (60, 40))),
    "no frame": JPEG[: JPEG.index(b"\xff\xc0")] + b"\xff\xd9",
    "no scan": JPEG[: JPEG.index(b"\xff\xda")],
    "no tables": JPEG[:2] + JPEG[JPEG.index(b"\xff\xc0") :],
    "12 bits": JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"),
    "lossless": JPEG.replace(b"\xff\xc0", b"\xff\xc3"),
}


@pytest.mark.parametrize("read", [from_set, own])
@pytest.mark.parametrize("kind", NO_PICTURE)
def test_what_is_no_picture(tmp_path: Path, kind: str, read: Callable[[Path], Image.Image]) -> None:
    path = tmp_path / "hostile.jpg"
    path.write_bytes(NO_PICTURE[kind])
    refused(lambda: read(path), f"{path}: ", kind=DataError)


OTHER = {
    "PNG": PNG,
    "GIF": encoded("GIF"),
    "BMP": encoded("BMP"),
    "TIFF": encoded("TIFF"),
    "WEBP": encoded("WEBP"),
    "16-bit grey": encoded("PNG", Image.fromarray(np.full((HEIGHT, WIDTH), 40_000, dtype=np.uint16))),
    "transparent": encoded("PNG", Image.new("RGBA", (WIDTH, HEIGHT))),
    "palette": encoded("PNG", Image.new("P", (WIDTH, HEIGHT))),
    "bilevel": encoded("PNG", Image.new("1", (WIDTH, HEIGHT))),
    "CMYK TIFF": encoded("TIFF", Image.new("CMYK", (WIDTH, HEIGHT))),
    "animated GIF": encoded("GIF", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))] * 5),
    "animated WebP": encoded("WEBP", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))] * 5),
    "animated PNG": encoded("PNG", save_all=True, append_images=[Image.new("RGB", (WIDTH, HEIGHT))] * 5),
}


@pytest.mark.parametrize("kind", OTHER)
def test_other_formats_behind_a_jpg_name(tmp_path: Path, kind: str) -> None:
    """A set's pictures are JPEG, so that none is converted on the quiet; a person's own is what it is."""
    path = tmp_path / "hostile.jpg"
    path.write_bytes(OTHER[kind])
    refused(lambda: from_set(path), "no JPEG", kind=DataError)
    picture = own(path)
    assert (picture.mode, picture.size) == ("RGB", (WIDTH, HEIGHT))


ODD = {
    "grey": encoded("JPEG", Image.new("L", (WIDTH, HEIGHT), 100)),
    "CMYK": encoded("JPEG", Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 0, 0))),
    "progressive": encoded("JPEG", progressive=True),
    "no subsampling": encoded("JPEG", subsampling=0),
    "junk behind": JPEG + b"\x00junk" * 1000,
    "another JPEG behind": JPEG * 2,
    "comment of code": with_segment(0xFE, b"$(touch executed)" * 50),
    "broken EXIF": with_segment(0xE1, b"Exif\0\0" + bytes(range(256)) * 20),
    "endless EXIF": with_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08" + struct.pack(">H", 65535) + b"\xff" * 600),
    "EXIF loop": with_segment(0xE1, b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\x08"),
    "broken XMP": with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta><![CDATA["),
    "broken profile": with_segment(0xE2, b"ICC_PROFILE\0\x01\x01" + bytes(range(256)) * 10),
    "broken JFIF": with_segment(0xE0, b"JFIF\0\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
    "broken Adobe": with_segment(0xEE, b"Adobe\xff"),
    "broken Photoshop": with_segment(0xED, b"Photoshop 3.0\x008BIM\xff\xff\xff\xff\xff"),
    "broken MPO": with_segment(0xE2, b"MPF\0MM\0*\0\0\0\x08\0\xff\xff\xff"),
    "arithmetic said, Huffman meant": JPEG.replace(b"\xff\xc0", b"\xff\xc9"),
    "a thousand segments": JPEG[:2] + b"\xff\xfe\x00\x03x" * 1000 + JPEG[2:],
}


@pytest.mark.parametrize("kind", ODD)
def test_odd_jpegs_are_read_or_refused_alike(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "odd.jpg"
    path.write_bytes(ODD[kind])
    pictures = [accepted(lambda read=read: read(path), f"{path}: ") for read in (from_set, own)]  # type: ignore[misc]
    for picture in pictures:
        assert picture is None or (picture.mode, picture.size) == ("RGB", (WIDTH, HEIGHT))
    if kind in ("grey", "CMYK", "progressive", "junk behind", "comment of code"):
        assert all(pictures)
    if kind == "grey":
        assert np.ptp(pictures[0]) <= 2
    if kind == "CMYK":  # full magenta
        red, green, blue = np.asarray(pictures[0])[5, 5]
        assert (red > 200, green < 60, blue > 200) == (True, True, True)


@pytest.mark.parametrize("read", [from_set, own])
@pytest.mark.parametrize("share", range(0, 100, 4))
def test_truncated(tmp_path: Path, share: int, read: Callable[[Path], Image.Image]) -> None:
    path = tmp_path / "hostile.jpg"
    path.write_bytes(JPEG[: len(JPEG) * share // 100])
    refused(lambda: read(path), f"{path}: ", kind=DataError)


@pytest.mark.parametrize("fmt", ["PNG", "GIF", "BMP", "TIFF", "WEBP"])
@pytest.mark.parametrize("share", range(0, 90, 15))
def test_truncated_own_pictures(tmp_path: Path, fmt: str, share: int) -> None:
    path = tmp_path / "hostile"
    path.write_bytes(OTHER[fmt][: len(OTHER[fmt]) * share // 100])
    refused(lambda: own(path), f"{path}: ", kind=DataError)


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bits_of_a_sets_picture(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "hostile.jpg"
    start = seed % 2 * JPEG.index(b"\xff\xda")  # the headers and the whole
    path.write_bytes(
        flipped(JPEG[: start or len(JPEG)], seed, 1 + seed % 5) + (JPEG[start:] if start else b"")
    )
    picture = accepted(lambda: from_set(path), f"{path}: ")
    assert picture is None or (picture.mode, picture.size) == ("RGB", (WIDTH, HEIGHT))


BOMBS = {
    "PNG header": png(60_000, 60_000),
    "PNG of 2^31 pixels a side": png(2**31 - 1, 2**31 - 1),
    "PNG of no pixels": png(0, 0),
    "JPEG header": resized(JPEG, 65_000, 65_000),
    "JPEG of no pixels": resized(JPEG, 0, 0),
    "GIF header": b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(3) + encoded("GIF")[13:],
    "BMP header": b"BM" + struct.pack("<IIIIiiHH", 60, 0, 54, 40, 2**30, 2**30, 1, 24) + bytes(90),
    "TIFF header": OTHER["TIFF"]
    .replace(struct.pack("<HHII", 256, 4, 1, WIDTH), struct.pack("<HHII", 256, 4, 1, 2**31))
    .replace(struct.pack("<HHIHH", 256, 3, 1, WIDTH, 0), struct.pack("<HHII", 256, 4, 1, 2**31)),
    "WebP header": b"RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\xff" * 2 + bytes(8),
    "PNG with a text bomb": png(8, 8, (b"zTXt", b"x\0\0" + zlib.compress(bytes(80_000_000)))),
    "PNG with a profile bomb": png(8, 8, (b"iCCP", b"x\0\0" + zlib.compress(bytes(80_000_000)))),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_bombs_are_not_decoded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb.jpg"
    path.write_bytes(BOMBS[kind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        refused(lambda: own(path), f"{path}: ", kind=DataError)
        refused(lambda: from_set(path), f"{path}: ", kind=DataError)
        refused(lambda: from_set(path, (65_000, 65_000)), f"{path}: ", kind=DataError)


@pytest.mark.parametrize("read", [from_set, own])
def test_what_is_no_file(tmp_path: Path, read: Callable[[Path], Image.Image]) -> None:
    (tmp_path / "folder.jpg").mkdir()
    for path in (
        tmp_path / "folder.jpg",
        tmp_path / "no.jpg",
        Path("/dev/zero"),
        fifo(tmp_path / "pipe.jpg"),
        tmp_path / ("n" * 300),
        tmp_path / "a\0b.jpg",
    ):
        refused(lambda path=path: read(path), kind=DataError)  # type: ignore[misc]


class _TwentyClasses(TinyVGG):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 20)


@pytest.fixture
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    blocks = ("features.1", "features.2", "features.4", "features.5", "features.7")
    classifier = make_classifier(_TwentyClasses(), blocks, VOC_CLASSES, name="resnet50")
    monkeypatch.setattr(network, "load_classifier", lambda *_, **__: classifier)


@pytest.mark.usefixtures("tiny_network")
@pytest.mark.parametrize("resize", ["stretch", "short-side"])
def test_a_run_records_each_of_them_and_explains_the_rest(
    voc_root: Path, tmp_path: Path, resize: str
) -> None:
    base = voc_root / "VOCdevkit/VOC2007"
    hostile = {kind: NO_PICTURE[kind] for kind in ("nothing", "EPS", "pickle", "no scan", "12 bits")}
    hostile |= {kind: OTHER[kind] for kind in ("16-bit grey", "animated GIF")} | {
        "bomb": BOMBS["JPEG header"]
    }
    hostile |= {"torn": JPEG[: len(JPEG) // 2], "bomb.png": BOMBS["PNG header"]}
    names = [f"hostile{number}" for number in range(len(hostile))]
    for name, content in zip(names, hostile.values(), strict=True):
        (base / f"JPEGImages/{name}.jpg").write_bytes(content)
        write_annotation(base / f"Annotations/{name}.xml", (WIDTH, HEIGHT), [("dog", 1, 1, 9, 9)])
    write_annotation(base / "Annotations/long.xml", (1, 30_000), [("dog", 1, 1, 1, 900)])
    Image.new("RGB", (1, 30_000)).save(base / "JPEGImages/long.jpg")
    (base / "Annotations/entity.xml").write_text('<!DOCTYPE a [<!ENTITY b "b">]><annotation>&b;</annotation>')
    listing = base / "ImageSets/Main/test.txt"
    listing.write_text(listing.read_text() + "\n".join([*names, "long", "entity"]) + "\n")
    config = tmp_path / "run.yaml"
    config.write_text(
        f"data: {{root: {voc_root}, input_size: 48, resize: {resize}}}\n"
        "models: {resnet50: {}}\nmethods: [sise]\n"
    )
    result = command("run", "--config", config, "--output", tmp_path / "run")
    assert result.exit_code == 1
    records = read_records(tmp_path / "run").set_index("image_id")
    failed = set(records.index[records["error"].notna()])
    assert failed == {*names, "entity"} | ({"long"} if resize == "short-side" else set())
    for image_id in failed:
        check(DataError(records["error"][image_id]), f"{image_id}.")
        assert len(records["error"][image_id]) < 1000
    assert records["ebpg"][["000001", "000002", "000003"]].notna().all()


@pytest.mark.parametrize("kind", ["EPS", "ELF", "nothing", "12 bits"])
def test_from_the_command_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "hostile.jpg"
    path.write_bytes(NO_PICTURE[kind])
    result = command("explain", path, "--model", "scenes_vgg", "--output", tmp_path / "out")
    assert result.exit_code == 3
    assert not (tmp_path / "out").exists()
