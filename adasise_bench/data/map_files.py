"""Saliency maps in files that any tool may have written: NumPy arrays, and grey PNG pictures."""

from __future__ import annotations

import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.data.pictures import MAX_PIXELS
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.file_names import file_name
from adasise_bench.utils.files import regular

SUFFIXES = (".npy", ".npz", ".png")
"""Ends of the names of files that can hold a map, in small or capital letters."""

_HIGHEST = {"1": 1, "L": 255, "I;16": 65535, "I;16B": 65535, "I": 65535}
"""White in a grey PNG, by Pillow's mode. Pillow itself spreads depths of 2 and 4 bits over 0..255, linearly,
and earlier versions of it give 16 bits in mode ``I``."""

_MAX_BYTES = 8 * MAX_PIXELS + 2**16


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and the folders in it, sorted; links to folders are not followed."""
    return sorted(Path(parent, name) for parent, _, names in os.walk(folder) for name in names)


def map_name(path: Path, folder: Path) -> str | None:
    """A map's file relative to its folder, with ``/`` and without its suffix; ``None`` for other files.

    Example:
        >>> from pathlib import Path
        >>> from adasise_bench.data.map_files import map_name
        >>> map_name(Path("maps/000001/dog.npy"), Path("maps"))
        '000001/dog'
    """
    if path.suffix.lower() not in SUFFIXES:
        return None
    return path.relative_to(folder).as_posix()[: -len(path.suffix)]


def names_of(image_id: str, class_name: str) -> tuple[str, str]:
    """The names that the map of a pair can have: ``IMAGE/CLASS``, and that of a run folder.

    Example:
        >>> from adasise_bench.data.map_files import names_of
        >>> names_of("000001", "dog")
        ('000001/dog', '000001_dog')
    """
    return f"{image_id}/{class_name}", file_name(image_id, class_name)


def map_files(folder: Path) -> dict[str, list[Path]]:
    """The files in a folder that can hold maps, by :func:`map_name`."""
    found: dict[str, list[Path]] = {}
    for path in files_below(folder):
        if (name := map_name(path, folder)) is not None:
            found.setdefault(name, []).append(path)
    return found


def digest_of(files: Mapping[str, list[Path]], folder: Path) -> str:
    """SHA-256 of what ``sha256sum`` prints of these files, sorted by their names relative to the folder."""
    paths = sorted(path.relative_to(folder).as_posix() for same in files.values() for path in same)
    whole = hashlib.sha256()
    for path in paths:
        whole.update(f"{_file_digest(folder / path, folder)}  {path}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _file_digest(path: Path, folder: Path) -> str:
    try:
        with regular(path, within=folder) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:  # reading the map reports what is wrong with the file
        return "unreadable"


def read_map_file(path: Path, within: Path) -> NDArray[np.float32]:
    """The map in a file: one array of real numbers, or a grey PNG without transparency.

    Nothing is unpickled. The values of a PNG are divided by the highest that its bit depth can hold, so that
    they lie between 0 and 1.

    Args:
        path: of one of :data:`SUFFIXES`.
        within: a folder that somebody else may have filled; links must not lead out of it.

    Returns:
        (H, W) float32, finite, of any sign. Leading dimensions of length 1 are dropped.

    Raises:
        DataError: names the file, what is wrong and the cure.
    """
    try:
        with regular(path, within=within) as file:
            content = file.read(_MAX_BYTES + 1)
        if len(content) > _MAX_BYTES:
            raise DataError(f"{path}: larger than any map; save one map of at most {MAX_PIXELS} pixels")
        read = {".npy": _array, ".npz": _only_array, ".png": _grey}[path.suffix.lower()]
        values = read(content)
    except DataError:
        raise
    except Exception as error:  # NumPy, zipfile and Pillow raise all kinds of errors over a damaged file
        reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
        raise DataError(
            f"{path}: cannot read the map: {reason}; save it again as one array of numbers or a grey PNG"
        ) from None
    try:
        return as_map(values)
    except ValueError as error:
        raise DataError(f"{path}: {error}") from None


def _array(content: bytes) -> NDArray[Any]:
    array: NDArray[Any] = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    return array


def _only_array(content: bytes) -> NDArray[Any]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) != 1:
            names = ", ".join(member.filename.removesuffix(".npy") for member in members[:4])
            raise ValueError(f"the file has {len(members)} arrays ({names}), and one is a map")
        with archive.open(members[0]) as member:
            inner = member.read(_MAX_BYTES + 1)
    if len(inner) > _MAX_BYTES:
        raise ValueError("its array is larger than any map")
    return _array(inner)


def _grey(content: bytes) -> NDArray[Any]:
    with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            raise ValueError(f"more than {MAX_PIXELS} pixels")
        highest = _HIGHEST.get(picture.mode)
        if highest is None:
            raise ValueError(f"a picture in colour or with transparency (Pillow's mode {picture.mode})")
        return np.asarray(picture).astype(np.float64) / highest


def as_map(values: NDArray[Any]) -> NDArray[np.float32]:
    """Values of any real type as a map.

    Raises:
        ValueError: says what is wrong with them, and the cure.
    """
    if values.dtype.kind not in "fiub":
        raise ValueError(f"an array of {values.dtype}, not of real numbers; save the map as float32")
    shape = values.shape
    while values.ndim > 2 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or not values.size:
        raise ValueError(f"an array of shape {shape}, not (H, W); save one map in each file")
    with np.errstate(over="ignore"):
        saliency = np.ascontiguousarray(values, dtype=np.float32)
    if not (finite := np.isfinite(saliency)).all():
        raise ValueError(
            f"{int((~finite).sum())} of {finite.size} pixels are NaN or infinite in float32; "
            "mend the method that made the map, or scale it"
        )
    if saliency.min() == saliency.max() and values.min() != values.max():
        raise ValueError(
            "values that become one and the same in float32; shift and scale the map, so that they differ "
            "by more than 1e-7 of the largest"
        )
    return saliency
