"""People's pictures: modes, orientation, frames, and files that are no picture."""

from __future__ import annotations

import hashlib
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from conftest import ORIENTATION, save_turned, turned_for
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.data import pictures as reader
from adasise_bench.data.coco import CocoDataset
from adasise_bench.data.dataset import Annotation
from adasise_bench.data.pictures import read_picture, turned_on_trust
from adasise_bench.utils.errors import DataError


def pixels(height: int = 12, width: int = 20) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def read(path: Path) -> NDArray[np.uint8]:
    picture = read_picture(path)
    assert picture.image.mode == "RGB"
    assert picture.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    return np.asarray(picture.image)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_comes_as_it_is_displayed(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = save_turned(tmp_path / f"turned.{suffix}", orientation, pixels())
    np.testing.assert_array_equal(read(path), pixels())


@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "RGBA", "LA", "CMYK"])
def test_every_mode_becomes_rgb(tmp_path: Path, mode: str) -> None:
    colour = Image.new("RGB", (6, 4), (255, 0, 0)).convert(mode)
    path = tmp_path / ("red.tif" if mode == "CMYK" else "red.png")
    colour.save(path)
    expected = {"L": (76,) * 3, "LA": (76,) * 3, "1": None}.get(mode, (255, 0, 0))
    found = read(path)
    assert found.shape == (4, 6, 3)
    if expected:
        assert np.abs(found.astype(int) - expected).max() <= 2
    else:
        assert set(np.unique(found)) <= {0, 255}


def test_cmyk_jpeg_keeps_its_colours(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), (200, 30, 60)).convert("CMYK").save(tmp_path / "press.jpg", quality=95)
    assert np.abs(read(tmp_path / "press.jpg").astype(int) - (200, 30, 60)).max() <= 4


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(4, 16)
    for name in ("ramp.png", "ramp.tif"):
        Image.fromarray(ramp).save(tmp_path / name)
        expected = np.rint(ramp / 65535 * 255)
        np.testing.assert_array_equal(read(tmp_path / name), np.repeat(expected[..., None], 3, axis=2))


def test_transparency_lies_over_white(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = (0, 128, 255)
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    assert read(tmp_path / "clear.png")[0, :, 0].tolist() == [255, 127, 0]
    palette = Image.new("P", (2, 1))
    palette.putpalette([0, 0, 0, 9, 8, 7])
    palette.putdata([0, 1])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert read(tmp_path / "palette.png")[0].tolist() == [[255, 255, 255], [9, 8, 7]]


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tif"])
def test_of_several_frames_the_first_is_read(tmp_path: Path, suffix: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("white", "black", "red")]
    path = tmp_path / f"moving.{suffix}"
    frames[0].save(path, save_all=True, append_images=frames[1:])
    assert (read(path) == 255).all()
    assert read_picture(path).animated
    frames[0].save(tmp_path / "still.png")
    assert not read_picture(tmp_path / "still.png").animated


def test_no_picture_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("no pixels here")
    Image.fromarray(pixels(90, 90)).save(tmp_path / "whole.jpg")
    (tmp_path / "torn.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    Image.fromarray(pixels().astype(np.float32)[..., 0]).save(tmp_path / "float.tif")
    cases = {
        "absent.jpg": "no such file",
        ".": "no such file",
        "empty.jpg": "empty, damaged, or no picture of the formats JPEG",
        "text.png": "empty, damaged, or no picture",
        "torn.jpg": "cannot read the picture: .*truncated",
        "float.tif": "pixels of 32 bits",
    }
    for name, message in cases.items():
        with pytest.raises(DataError, match=message) as caught:
            read_picture(tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name))
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", ["ours", "Pillow's"])
def test_decompression_bombs_are_refused_before_they_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    path = save_turned(tmp_path / "bomb.png", 6, pixels(40, 60))
    owner, name = (reader, "MAX_PIXELS") if limit == "ours" else (Image, "MAX_IMAGE_PIXELS")
    monkeypatch.setattr(owner, name, 1000)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match="million pixels; make it smaller"):
        read_picture(path)


def _encoded(fmt: str) -> bytes:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.fromarray(pixels()).save(buffer, fmt, exif=exif)
    return buffer.getvalue()


_SOUND = {fmt: _encoded(fmt) for fmt in ("JPEG", "PNG", "WEBP", "TIFF")}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(_SOUND)), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_damage_gives_a_picture_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, fmt: str, damage: list[tuple[float, int]]
) -> None:
    content = bytearray(_SOUND[fmt])
    for share, value in damage:
        content[int(share * (len(content) - 1))] = value
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(content)
    try:
        found = read_picture(path).image.mode
    except DataError as error:
        found = str(error)
    assert found == "RGB" or (damage and found.startswith(f"{path}: ") and "\n" not in found)


def from_set(path: Path, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture as a run reads it from a set in COCO layout, annotated with a size."""
    dataset = CocoDataset("set", (), {"1": path}, path, "boxes", {}, {}, {})
    return np.asarray(dataset.picture("1", Annotation(size, ())))


def files(folder: Path) -> dict[str, Path]:
    """Files of one view in every mode that JPEG and PNG hold."""
    grey = pixels()[..., 0]
    modes = {mode: Image.fromarray(pixels()).convert(mode) for mode in ("RGB", "L", "1", "P", "CMYK")}
    alpha = Image.fromarray(np.dstack([pixels(), grey]))
    modes |= {"RGBA": alpha, "LA": alpha.convert("LA"), "P with alpha": alpha.quantize(32)}
    modes["16 bits"] = Image.fromarray(grey.astype(np.uint16) * 257)
    paths = {}
    for number, (mode, image) in enumerate(modes.items()):
        suffixes = {"RGB": ("jpg", "png"), "L": ("jpg", "png"), "CMYK": ("jpg",)}.get(mode, ("png",))
        for suffix in suffixes:
            paths[f"{mode} {suffix}"] = folder / f"{number}.{suffix}"
            image.save(folder / f"{number}.{suffix}")
    frames = [Image.new("RGB", (20, 12), colour) for colour in ("white", "red")]
    paths["animated"] = folder / "moving.png"
    frames[0].save(paths["animated"], save_all=True, append_images=frames[1:])
    return paths


def test_a_set_and_a_person_s_own_picture_are_read_alike(tmp_path: Path) -> None:
    for name, path in files(tmp_path).items():
        np.testing.assert_array_equal(from_set(path, (20, 12)), read(path), err_msg=name)
    for orientation in range(1, 9):
        path = save_turned(tmp_path / f"turned{orientation}.png", orientation, pixels())
        np.testing.assert_array_equal(from_set(path, (20, 12)), pixels())


def test_an_ordinary_jpeg_has_the_pixels_that_pillow_decodes(tmp_path: Path) -> None:
    Image.fromarray(pixels(90, 70)).save(tmp_path / "plain.jpg")
    with Image.open(tmp_path / "plain.jpg") as file:
        np.testing.assert_array_equal(
            from_set(tmp_path / "plain.jpg", (70, 90)), np.asarray(file.convert("RGB"))
        )


@pytest.mark.parametrize("orientation", range(5, 9))
def test_a_picture_annotated_as_it_is_stored_stays_so(tmp_path: Path, orientation: int) -> None:
    path = save_turned(tmp_path / "a.png", orientation, pixels())
    np.testing.assert_array_equal(from_set(path, (12, 20)), turned_for(orientation, pixels()))
    with pytest.raises(DataError, match=r"12x20 pixels \(20x12 upright\), its annotation says 21x12"):
        from_set(path, (21, 12))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_no_annotation_confirms_is_known(tmp_path: Path, orientation: int) -> None:
    path = save_turned(tmp_path / "a.jpg", orientation, pixels())
    content = path.read_bytes()
    assert turned_on_trust(content, ("JPEG",), (20, 12)) == (orientation in (2, 3, 4))
    assert not turned_on_trust(content, ("JPEG",), (12, 20))
    square = save_turned(tmp_path / "square.jpg", orientation, pixels(16, 16)).read_bytes()
    assert turned_on_trust(square, ("JPEG",), (16, 16)) == (orientation != 1)


def test_an_orientation_that_is_none_counts_as_none(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[ORIENTATION] = value
        Image.fromarray(pixels()).save(path, exif=exif)
        np.testing.assert_array_equal(from_set(path, (20, 12)), pixels())


def png(depth: int, colour: int, row: bytes, transparent: bytes = b"") -> bytes:
    """A PNG of one row, by the format's definition; ``colour`` 0 is grey, 2 is RGB."""
    width = 8 * len(row) // (depth * (3 if colour else 1))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, 1, depth, colour, 0, 0, 0))]
    chunks += [(b"tRNS", transparent)] if transparent else []
    chunks += [(b"IDAT", zlib.compress(b"\0" + row)), (b"IEND", b"")]
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


DEPTHS = {
    "16-bit grey": (png(16, 0, struct.pack(">3H", 0, 257 * 7 + 100, 65535)), [0, 7, 255]),
    "16-bit colour": (png(16, 2, struct.pack(">3H", 257 * 9, 257 * 200, 65535)), [[9, 200, 255]]),
    "2-bit grey": (png(2, 0, b"\x1b"), [0, 85, 170, 255]),
    "16-bit grey, one transparent": (
        png(16, 0, struct.pack(">2H", 514, 771), struct.pack(">H", 771)), [2, 255],
    ),
    "16-bit colour, one transparent": (
        png(16, 2, struct.pack(">6H", 0, 300, 600, 257, 0, 0), struct.pack(">3H", 0, 300, 600)),
        [[255, 255, 255], [1, 0, 0]],
    ),
    "8-bit grey, one transparent": (png(8, 0, b"\3\4", b"\0\3"), [255, 4]),
    "4-bit grey, one transparent": (png(4, 0, b"\x34", b"\0\3"), [255, 68]),
    "2-bit grey, one transparent": (png(2, 0, b"\x1b", b"\0\1"), [0, 255, 170, 255]),
}  # fmt: skip


@pytest.mark.parametrize("kind", DEPTHS)
def test_every_depth_becomes_eight_bits(tmp_path: Path, kind: str) -> None:
    content, expected = DEPTHS[kind]
    (tmp_path / "a.png").write_bytes(content)
    found = read(tmp_path / "a.png")[0]
    assert (found if isinstance(expected[0], list) else found[:, 0]).tolist() == expected
