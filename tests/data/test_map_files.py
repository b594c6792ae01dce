"""Maps in files: what is read from each kind of file, and what is refused."""

from __future__ import annotations

import hashlib
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from adasise_bench.data.map_files import digest_of, files_below, map_files, read_map_file
from adasise_bench.utils.errors import DataError

MAP = np.array([[0.0, 0.25, 0.5], [1.0, 3.0, 0.125]], np.float32)


def stored(folder: Path, values: Any, name: str = "dog.npy") -> Path:
    np.save(folder / name, values)
    return folder / name


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_map_file(path, path.parent)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert message.isprintable()
    return message.removeprefix(f"{path}: ")


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2", "longdouble"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_of_every_kind_of_float_have_the_values_that_were_saved(
    tmp_path: Path, dtype: str, order: Any
) -> None:
    path = stored(tmp_path, np.asarray(MAP, dtype, order=order))
    read = read_map_file(path, tmp_path)
    assert read.dtype == np.float32
    assert read.flags.c_contiguous
    np.testing.assert_array_equal(read, MAP)


@pytest.mark.parametrize(
    "values", [[[True, False]], np.array([[7, 0]], np.uint8), np.array([[-3, 2]], ">i8")]
)
def test_whole_numbers_are_read_as_they_are(tmp_path: Path, values: Any) -> None:
    read = read_map_file(stored(tmp_path, values), tmp_path)
    assert read.tolist() == [[float(value) for value in np.asarray(values)[0].tolist()]]


@given(
    arrays.arrays(
        np.float32, arrays.array_shapes(min_dims=2, max_dims=2), elements=st.floats(0, 2.0**100, width=32)
    )
)
def test_float32_comes_back_to_the_bit_from_both_kinds_of_file(
    tmp_path_factory: pytest.TempPathFactory, values: Any
) -> None:
    folder = tmp_path_factory.mktemp("maps")
    np.savez_compressed(folder / "dog.npz", values)
    for path in (stored(folder, values), folder / "dog.npz"):
        assert read_map_file(path, folder).tobytes() == values.tobytes()


def test_leading_dimensions_of_one_are_dropped(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_map_file(stored(tmp_path, MAP[None, None]), tmp_path), MAP)


@pytest.mark.parametrize(
    ("mode", "dtype", "highest"), [("L", np.uint8, 255), ("I;16", np.uint16, 65535), ("1", np.bool_, 1)]
)
def test_grey_pictures_are_scaled_by_their_depth(tmp_path: Path, mode: str, dtype: Any, highest: int) -> None:
    values = (np.random.default_rng(0).random((5, 4)) * (highest + 0.99)).astype(dtype)
    values[0, :2] = 0, highest
    picture = Image.fromarray(values)
    assert picture.mode == mode
    picture.save(tmp_path / "dog.png")
    read = read_map_file(tmp_path / "dog.png", tmp_path)
    assert read[0, :2].tolist() == [0, 1]
    for row, column in np.ndindex(values.shape):
        assert read[row, column] == np.float32(int(values[row, column]) / highest)


@pytest.mark.parametrize("bits", [2, 4])
def test_low_depths_are_scaled_linearly_too(tmp_path: Path, bits: int) -> None:
    levels = 2**bits
    (tmp_path / "dog.png").write_bytes(_grey_png(np.arange(levels), bits))
    read = read_map_file(tmp_path / "dog.png", tmp_path)
    np.testing.assert_allclose(read[0], np.arange(levels) / (levels - 1), rtol=1e-6)


def _grey_png(row: Any, bits: int) -> bytes:
    """A grey PNG of one row, put together by hand from the format's specification."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    packed = np.packbits(
        np.concatenate([[(value >> bit) & 1 for bit in reversed(range(bits))] for value in row])
    )
    header = struct.pack(">IIBBBBB", len(row), 1, bits, 0, 0, 0, 0)
    body = zlib.compress(b"\0" + packed.tobytes())
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P"])
def test_pictures_in_colour_are_refused_with_the_cure(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (4, 3)).save(tmp_path / "dog.png")
    message = refusal(tmp_path / "dog.png")
    assert f"a picture in colour or with transparency (Pillow's mode {mode})" in message
    assert "save it again as one array of numbers or a grey PNG" in message


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((3, 4, 4), np.float32), "shape (3, 4, 4), not (H, W); save one map in each file"),
        (np.zeros(5), "shape (5,), not (H, W)"),
        (np.zeros((0, 4)), "shape (0, 4), not (H, W)"),
        (np.float32(1), "shape (), not (H, W)"),
        (np.zeros((2, 2), np.complex64), "complex64, not of real numbers; save the map as float32"),
        (np.array([["a", "b"]]), "not of real numbers"),
        (np.zeros((2, 2), [("x", "f4")]), "not of real numbers"),
        (np.array([[1, np.nan], [np.inf, 0]]), "2 of 4 pixels are NaN or infinite in float32"),
        (np.array([[1e300, 0]]), "1 of 2 pixels are NaN or infinite in float32"),
        (np.array([[1e-60, 2e-60]]), "become one and the same in float32; shift and scale"),
    ],
)
def test_what_is_no_map_is_refused_with_the_cure(tmp_path: Path, values: Any, reason: str) -> None:
    assert reason in refusal(stored(tmp_path, values))


def test_a_flat_map_is_a_map(tmp_path: Path) -> None:
    np.testing.assert_array_equal(
        read_map_file(stored(tmp_path, np.zeros((2, 2))), tmp_path), np.zeros((2, 2))
    )


def test_several_arrays_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "dog.npz", sise=MAP, rise=MAP)
    assert "the file has 2 arrays (sise, rise), and one is a map" in refusal(tmp_path / "dog.npz")


def test_files_are_found_by_their_names_without_suffix(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    for name in ("1/dog.npy", "1/dog.PNG", "1/cat.NPZ", "1/.5.npy", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.relative_to(tmp_path).as_posix() for path in files_below(tmp_path)] == [
        "1/.5.npy", "1/cat.NPZ", "1/dog.PNG", "1/dog.npy", "notes.txt",
    ]  # fmt: skip
    assert {name: [path.name for path in paths] for name, paths in map_files(tmp_path).items()} == {
        "1/.5": [".5.npy"],
        "1/cat": ["cat.NPZ"],
        "1/dog": ["dog.PNG", "dog.npy"],
    }


def test_the_digest_is_that_of_what_sha256sum_prints(tmp_path: Path) -> None:
    for number in (2, 1):
        (tmp_path / str(number)).mkdir()
        stored(tmp_path / str(number), MAP * number)
    printed = subprocess.run(
        ["sha256sum", "1/dog.npy", "2/dog.npy"], cwd=tmp_path, capture_output=True, check=True
    )
    assert digest_of(map_files(tmp_path), tmp_path) == hashlib.sha256(printed.stdout).hexdigest()
    before = digest_of(map_files(tmp_path), tmp_path)
    stored(tmp_path / "1", MAP * 3)
    assert digest_of(map_files(tmp_path), tmp_path) != before
