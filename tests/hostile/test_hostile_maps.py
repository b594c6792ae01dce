"""Hostile files of saliency maps: nothing is executed, and each ends in a map or in one line."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from refusals import accepted, flipped, refused

from adasise_bench.data.map_files import read_map_file
from adasise_bench.utils.errors import DataError

MAP = np.array([[0.0, 0.25, 0.5], [1.0, 3.0, 0.125]], np.float32)


def stored(folder: Path, values: Any) -> Path:
    np.save(folder / "dog.npy", values)
    return folder / "dog.npy"


def refusal(path: Path) -> str:
    return refused(lambda: read_map_file(path, path.parent), str(path), kind=DataError)


class Payload:
    """Touches ``executed`` in the working folder if it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_objects_are_never_unpickled(tmp_path: Path, suffix: str) -> None:
    content = io.BytesIO()
    np.save(content, np.array([[Payload()]], dtype=object), allow_pickle=True)
    path = tmp_path / f"dog{suffix}"
    if suffix == ".npy":
        path.write_bytes(content.getvalue())
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("arr_0.npy", content.getvalue())
    assert "allow_pickle=False" in refusal(path)
    assert not Path("executed").exists()


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", ["dog.npy", "dog.npz", "dog.png"])
@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"\x89PNG\r\n\x1a\n", b"no map"])
def test_damaged_files_are_refused_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert "cannot read the map" in refusal(tmp_path / name)


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", ["dog.npy", "dog.npz", "dog.png"])
def test_a_file_cut_anywhere_is_refused_or_has_all_its_pixels(tmp_path: Path, name: str) -> None:
    whole = tmp_path / name
    if name.endswith("npy"):
        np.save(whole, MAP)
    elif name.endswith("npz"):
        np.savez(whole, MAP)
    else:
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(whole)
    content = whole.read_bytes()
    complete = read_map_file(whole, tmp_path)
    refused = 0
    for length in range(len(content)):
        whole.write_bytes(content[:length])
        read = accepted(lambda: read_map_file(whole, tmp_path), str(whole))
        refused += read is None
        assert read is None or np.array_equal(read, complete)
    assert refused >= len(content) - 24  # the last bytes of a PNG hold no pixel


@pytest.mark.usefixtures("bounded")
@pytest.mark.parametrize("name", ["dog.npy", "dog.npz", "dog.png"])
def test_flipped_bits_end_in_a_map_or_in_one_line(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("npy"):
        np.save(path, MAP)
    elif name.endswith("npz"):
        np.savez(path, MAP)
    else:
        Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    content = path.read_bytes()
    for seed in range(300):
        path.write_bytes(flipped(content, seed))
        read = accepted(lambda: read_map_file(path, tmp_path), str(path))
        assert read is None or (read.ndim == 2 and read.dtype == np.float32 and np.isfinite(read).all())


@pytest.mark.usefixtures("bounded")
def test_a_header_that_promises_more_than_the_file_holds_is_refused(tmp_path: Path) -> None:
    path = stored(tmp_path, np.zeros((8, 8), np.float32))
    path.write_bytes(path.read_bytes().replace(b"(8, 8)", b"(9, 9)"))
    assert "cannot read the map" in refusal(path)


@pytest.mark.usefixtures("bounded")
def test_pipes_and_links_that_lead_out_are_refused(tmp_path: Path) -> None:
    inside, outside = tmp_path / "maps", tmp_path / "elsewhere"
    for folder in (inside, outside):
        folder.mkdir()
    stored(outside, MAP)
    (inside / "dog.npy").symlink_to(outside / "dog.npy")
    assert "a link that leads out of the folder" in refusal(inside / "dog.npy")
    os.mkfifo(inside / "cat.npy")
    assert "not a plain file" in refusal(inside / "cat.npy")
