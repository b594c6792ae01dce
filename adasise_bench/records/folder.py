"""A run's folder: one writer at a time, one configuration, everything in it traceable."""

from __future__ import annotations

import json
import sys
from array import array
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import yaml
from pydantic import BaseModel, ValidationError

from adasise_bench.data.names import ByName, Names
from adasise_bench.models.engine import Engine
from adasise_bench.records import environment, evidence, manifest
from adasise_bench.records.checks import refuse_impossible
from adasise_bench.records.description import read_environment
from adasise_bench.records.folder_names import CONFIG, ENVIRONMENT, FINISHED, IN_FLIGHT, LOCK, LOGS, PICTURES
from adasise_bench.records.reading import cure, only_finished_is_left, record_batches
from adasise_bench.records.store import writes_alone
from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import (
    TEMPORARY,
    refuse_special,
    regular,
    whole_lines,
    write_atomically,
    write_text_atomically,
)
from adasise_bench.utils.settings import first_problem

_LOOKED_AT = 0.1
"""Seconds to wait for processes that only test whether a run holds the lock."""

_CURE = "use --no-resume or another --output"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Lock the folder for this process. The system releases the lock even if the process is killed.

    Half-written files of a process that was killed are removed.

    Raises:
        OutputError: another run holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_special(folder / LOCK)
        lock = filelock.FileLock(folder / LOCK)
        lock.acquire(timeout=_LOOKED_AT)
    except filelock.Timeout:
        raise OutputError(
            f"{folder}: another run is writing here; wait for it or choose another --output"
        ) from None
    except OSError as error:
        raise OutputError(f"{folder}: cannot write: {error.strerror}; choose another --output") from None
    try:
        _refuse_second_writer(folder)
        _remove_half_written(folder)
        try:
            yield
        finally:
            _remove_half_written(folder)  # files of workers that were killed meanwhile
    finally:
        lock.release()


def _remove_half_written(folder: Path) -> None:
    with suppress(OSError):
        for half_written in folder.rglob(f".*{TEMPORARY}"):
            half_written.unlink()


def _refuse_second_writer(folder: Path) -> None:
    """Test whether a run has the records open, because the file of its lock may have been deleted.

    Raises:
        OutputError: another run is writing.
    """
    try:
        file = regular(folder / IN_FLIGHT, within=folder)
    except OSError:
        return
    with file:
        if not writes_alone(file.fileno()):
            raise OutputError(
                f"{folder}: another run is writing here; wait for it or choose another --output"
            )


def refuse_foreign(
    folder: Path,
    own: Collection[str] = (CONFIG, ENVIRONMENT, IN_FLIGHT, FINISHED),
    content: str = "run",
) -> None:
    """Refuse a folder that holds anything other than a run, or than what ``content`` names.

    Raises:
        OutputError: it has files, but none of ``own``, with which a run begins.
    """
    held = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    half_written = {name for name in held if name.startswith(".") and name.endswith(TEMPORARY)}
    if held - {LOCK, LOGS} - half_written and not held & set(own):
        raise OutputError(f"{folder}: holds other files and no {content}; choose another --output")


def move_aside(folder: Path) -> None:
    """Rename an existing folder to ``<folder>.1``, ``.2``, ..., so that nothing computed is lost.

    Raises:
        OutputError: it cannot be renamed.
    """
    real = folder.resolve()
    if Path.cwd().is_relative_to(real):
        raise OutputError(
            f"{folder}: the working folder is in it, so that it cannot be moved aside; "
            "choose another --output, leave out --no-resume, or go to another folder"
        )
    place = real if folder.name in ("", "..") else folder
    number = next(n for n in range(1, 10_000) if not place.with_name(f"{place.name}.{n}").exists())
    aside = place.with_name(f"{place.name}.{number}")
    try:
        folder.rename(aside)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot move it aside: {error.strerror}; choose another --output"
        ) from None
    print(f"earlier results moved to {aside}", file=sys.stderr)  # noqa: T201


def claim(
    folder: Path, settings: Mapping[str, Any], facts: Mapping[str, Any], pictures: Mapping[str, str]
) -> None:
    """Write the resolved configuration, the environment and the pictures' hashes.

    Args:
        folder: the run folder, held by this process.
        settings: the resolved configuration as plain data.
        facts: the environment.
        pictures: SHA-256 of every picture with its annotation, by image id.

    Raises:
        DataError: a file of a finished run was changed, or records are damaged, or cannot be of this run.
        OutputError: the folder holds another run; names what differs: configuration, weights, versions,
            device, classes, or a picture that was already explained.
    """
    manifest.verify(folder)
    before = _environment(folder)
    changed: list[str] = []
    if before is not None:
        differences = environment.differences(decisive(before, folder), decisive(facts, folder))
        changed = [difference.removeprefix("identity.") for difference in differences]
    check = partial(refuse_impossible, score=settings["score"], models=facts["models"])
    explained = _explained_images(folder, None if changed else check)
    if before is None and explained:
        raise OutputError(f"{folder / ENVIRONMENT}: missing, but there are records; {_CURE}")
    if explained:
        changed += [f"picture {name}" for name in sorted(explained - _unchanged(folder, explained, pictures))]
    if changed:
        raise OutputError(f"{folder}: holds a run with other {'; '.join(changed[:4])}; {_CURE}")
    describe(folder, settings, facts, pictures)


def _explained_images(folder: Path, check: Callable[..., None] | None) -> set[str]:
    """Ids of the images that the folder holds an explanation of; ``check`` is called with all records."""
    name = FINISHED if only_finished_is_left(folder) else IN_FLIGHT
    explained: set[str] = set()
    for records in record_batches(folder):
        if check:
            check(records, where=str(folder / name), cure=cure(folder, name))
        explained.update(records["image_id"][records["error"].isna()])
    return explained


def describe(
    folder: Path, settings: Mapping[str, Any], facts: Mapping[str, Any], pictures: Mapping[str, str]
) -> None:
    """Write what :func:`claim` writes, whatever the folder holds, and remove its manifest.

    Raises:
        OutputError: it cannot be written.
    """
    manifest.unseal(folder)
    text = yaml.safe_dump(dict(settings), sort_keys=False)

    def write_hashes(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as file:  # line by line, because there may be millions
            file.writelines(f"{digest}  {image_id}\n" for image_id, digest in pictures.items())

    write_text_atomically(folder / CONFIG, text)
    write_atomically(folder / PICTURES, write_hashes)
    write_text_atomically(folder / ENVIRONMENT, json.dumps(facts, indent=2) + "\n")


def _environment(folder: Path) -> dict[str, Any] | None:
    path = folder / ENVIRONMENT
    if not path.exists():
        return None
    try:
        return read_environment(folder)
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: damaged ({error}); {_CURE}") from None


def _unchanged(folder: Path, explained: set[str], pictures: Mapping[str, str]) -> set[str]:
    """The explained pictures that still have the hash with which the folder's run began."""
    hashes = _hashes_in(folder)
    return {name for name, digest in hashes if name in explained and pictures.get(name) == digest}


def picture_hashes(folder: Path) -> ByName[str]:
    """SHA-256 of every picture with its annotation when the folder's run began, by image id.

    A picture takes about 100 bytes of memory beside its id.

    Raises:
        OutputError: the file is missing or damaged.
    """
    digests, ends = bytearray(), array("Q", [0])

    def image_ids() -> Iterator[str]:
        for image_id, digest in _hashes_in(folder):
            digests.extend(digest.encode())
            ends.append(len(digests))
            yield image_id

    names = Names(image_ids())
    if len(names) < len(ends) - 1:
        raise OutputError(f"{folder / PICTURES}: names a picture twice; {_CURE}")
    places = np.array(ends, np.int64)
    return ByName(names, lambda _, index: digests[places[index] : places[index + 1]].decode())


def _hashes_in(folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / PICTURES
    try:
        with regular(path, within=folder) as file:
            for line in whole_lines(file):
                digest, _, image_id = line.decode("utf-8").removesuffix("\n").partition("  ")
                yield image_id, digest
    except (OSError, ValueError) as error:
        raise OutputError(f"{path}: cannot read it ({error}); {_CURE}") from None


def engines(folder: Path) -> dict[str, Engine]:
    """How each model's forward passes were run when the run last worked here; empty for a new folder.

    Raises:
        OutputError: the environment file is damaged.
    """
    facts = _environment(folder)
    try:
        return _engines(facts) if facts else {}
    except ValidationError as error:
        problem = first_problem(error, BaseModel)
        raise OutputError(f"{folder / ENVIRONMENT}: damaged (engine: {problem}); {_CURE}") from None
    except (AttributeError, KeyError, TypeError) as error:
        raise OutputError(f"{folder / ENVIRONMENT}: damaged ({error!r}); {_CURE}") from None


def _engines(facts: Mapping[str, Any]) -> dict[str, Engine]:
    return {name: Engine.of(model["engine"]) for name, model in facts["models"].items()}


def decisive(facts: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The facts that two sessions of one run must share, as plain JSON."""
    chosen = {key: facts.get(key) for key in (*environment.DECISIVE, "identity")}
    try:
        chosen["weights"] = {name: model["weights_sha256"] for name, model in facts["models"].items()}
        chosen[evidence.NAME] = evidence.of_run(facts)
        if facts.get("deterministic"):
            chosen["threads"] = facts["threads"]
            chosen["engine"] = {name: asdict(engine) for name, engine in _engines(facts).items()}
        if facts.get("precision") != "fp32":  # in fp32 they differ by rounding, as batch sizes do
            chosen["backend"] = {name: engine.backend for name, engine in _engines(facts).items()}
        chosen[environment.BACKENDS] = environment.backend_versions(facts)
        plain: dict[str, Any] = json.loads(json.dumps(chosen))
    except (AttributeError, KeyError, TypeError, RecursionError, ValidationError) as error:
        raise OutputError(f"{folder / ENVIRONMENT}: damaged ({error!r}); {_CURE}") from None
    return plain
