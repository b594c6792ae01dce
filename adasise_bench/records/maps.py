"""The saliency maps that a run keeps, one NumPy file each."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from adasise_bench.records.folder import picture_hashes
from adasise_bench.records.folder_names import MAPS, PICTURES
from adasise_bench.records.record import Key
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.file_names import file_name
from adasise_bench.utils.files import (
    as_output_error,
    refuse_leading_out,
    regular,
    write_atomically,
)


def map_path(folder: Path, key: Key) -> Path:
    """The path at which the saliency map of a record is saved; :func:`kept_map` also finds older names."""
    return folder / MAPS / key.model / key.method / f"{file_name(key.image_id, str(key.class_name))}.npy"


def kept_map(folder: Path, key: Key) -> Path:
    """The file of a record's saliency map, which need not exist.

    Earlier versions called it ``IMAGE_CLASS.npy`` whatever the names. Such a file may belong to another
    pair if a shorter or longer beginning of its name is also a picture of the run; then it is not used.
    """
    path = map_path(folder, key)
    older = path.parent / f"{key.image_id}_{key.class_name}.npy"
    if path == older or path.exists() or older.parent != path.parent or not _is_file(older):
        return path
    breaks = (position for position, letter in enumerate(older.stem) if letter == "_")
    others = {older.stem[:position] for position in breaks} - {key.image_id}
    return path if others & _picture_ids(folder / PICTURES) else older


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _picture_ids(path: Path) -> frozenset[str]:
    try:
        return _picture_ids_at(path, path.stat().st_mtime_ns)
    except OSError:
        return frozenset()


@lru_cache(maxsize=16)
def _picture_ids_at(path: Path, _modified: int) -> frozenset[str]:
    """The ids in a file of pictures' hashes; the file is read again if it was written again."""
    return frozenset(picture_hashes(path.parent))


def save_map(folder: Path, key: Key, saliency: torch.Tensor) -> None:
    """Keep a (H, W) float32 map as a NumPy file.

    Raises:
        OutputError: the disk is full or gone, or the folder's maps are a link out of it.
    """
    path = map_path(folder, key)
    with as_output_error(path):
        refuse_leading_out(path, folder)
    write_map(path, saliency.cpu().numpy())


def write_map(path: Path, saliency: NDArray[np.float32]) -> None:
    """Write a (H, W) float32 map into a NumPy file.

    Raises:
        OutputError: the disk is full or gone, or there is something else than a plain file.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # given a name, NumPy would add .npy to it
            np.save(file, saliency)

    write_atomically(path, write)


def read_map(folder: Path, key: Key) -> NDArray[np.float32]:
    """The (H, W) float32 map of one record of a run folder, at the network input's resolution.

    Raises:
        DataError: it was not saved, or is damaged.
    """
    path = kept_map(folder, key)
    try:
        regular(path, within=folder).close()
        saliency: NDArray[np.float32] = np.array(np.lib.format.open_memmap(path, mode="r"))
    except FileNotFoundError:
        raise DataError(f"{path}: no saliency map; give the run again with --save-maps") from None
    except Exception as error:  # NumPy raises all kinds of errors over a damaged header
        raise DataError(f"{path}: damaged map ({error}); delete it and run again with --save-maps") from None
    shaped = saliency.ndim == 2 and saliency.size and saliency.dtype == np.float32
    if not shaped or not np.isfinite(saliency).all():
        raise DataError(f"{path}: not a saliency map; delete it and run again with --save-maps")
    return saliency
