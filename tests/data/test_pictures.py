"""People's pictures: modes, orientation, frames, and files that are no picture."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from conftest import ORIENTATION, save_turned
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.data import pictures as reader
from adasise_bench.data.pictures import read_picture
from adasise_bench.errors import DataError


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
