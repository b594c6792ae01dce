"""Sizes and hashes of the files of a finished run folder, so that a later change is noticed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from adasise_bench.records.folder_names import CONFIG, ENVIRONMENT, FINISHED, IN_FLIGHT, MANIFEST, PICTURES
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import as_output_error, regular, write_text_atomically

SEALED = (CONFIG, ENVIRONMENT, PICTURES, FINISHED)
"""The files that a manifest lists; each line of the records in flight has a checksum of its own."""


def seal(folder: Path) -> None:
    """Write the manifest of a finished run.

    Raises:
        OutputError: it cannot be written.
    """
    files = {name: _measured(folder / name) for name in SEALED if (folder / name).exists()}
    write_text_atomically(folder / MANIFEST, json.dumps({"format": 1, "files": files}, indent=2) + "\n")


def unseal(folder: Path) -> None:
    """Remove the manifest before a file that it lists is written again.

    Raises:
        OutputError: it cannot be removed.
    """
    with as_output_error(folder / MANIFEST):
        (folder / MANIFEST).unlink(missing_ok=True)


def verify(folder: Path) -> None:
    """Refuse a finished folder in which a file is not the one that the run finished with.

    Three kinds of folders are not checked: folders without a manifest, which an earlier version wrote or
        whose
    run is in flight, and folders whose finished records were deleted so that they are written again. The
    files are read piece by piece.

    Raises:
        DataError: names the file and the cure.
    """
    while (stated := _read(folder)) is not None:
        problem = _problem(folder, stated)
        if problem is None:
            return
        if stated == _read(folder):  # otherwise a run has begun to write here meanwhile
            raise DataError(problem)


def _measured(path: Path) -> dict[str, Any]:
    with regular(path, within=path.parent) as file:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}


def _read(folder: Path) -> dict[str, Any] | None:
    """What the manifest says about each file; ``None`` if there is nothing to check the folder against."""
    path = folder / MANIFEST
    if not path.exists() or not (folder / FINISHED).exists():
        return None
    try:
        with regular(path, within=path.parent) as file:
            stated = json.load(file)["files"]
        return {name: {key: stated[name][key] for key in ("bytes", "sha256")} for name in stated}
    except FileNotFoundError:
        if path.exists():
            raise DataError(f"{path}: no plain file; delete it") from None
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        raise DataError(f"{path}: damaged; delete it, and the folder's files are taken as they are") from None


def _problem(folder: Path, stated: dict[str, Any]) -> str | None:
    for name in SEALED:
        if name not in stated:
            continue
        path = folder / name
        if path.is_dir():
            return (
                f"{path}: is a folder, while the run finished with a file; delete {MANIFEST} to take it "
                "as it is, or put the file back"
            )
        try:
            found = _measured(path)
        except OSError as error:
            return f"{path}: cannot read it: {error.strerror or error}; {_cure(folder, name)}"
        if found != stated[name]:
            return f"{path}: was changed after the run had finished (see {MANIFEST}); {_cure(folder, name)}"
    return None


def _cure(folder: Path, name: str) -> str:
    if name == FINISHED and (folder / IN_FLIGHT).exists():
        return f"delete it and resume: {IN_FLIGHT} holds the same records"
    return f"put the original back, or delete {MANIFEST} to take the file as it is"
