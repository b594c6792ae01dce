"""A run's folder: one writer at a time, one configuration, everything in it traceable."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock
import numpy as np
import torch
import yaml

from adasise_bench import environment
from adasise_bench.config import RunConfig
from adasise_bench.errors import OutputError
from adasise_bench.records import Key, write_atomically

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"


def default_folder(config: RunConfig) -> Path:
    """``results/<name>-<digest of the configuration>``: another configuration, another folder."""
    return Path("results") / f"{config.name}-{config.digest()}"


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold the folder for one process; the system lets go even when the process is killed.

    Raises:
        OutputError: another run holds it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(folder / ".lock")
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise OutputError(
            f"{folder}: another run is writing here; wait for it or choose another --output"
        ) from None
    except OSError as error:
        raise OutputError(f"{folder}: cannot write: {error.strerror}; choose another --output") from None
    try:
        yield
    finally:
        lock.release()


def move_aside(folder: Path) -> None:
    """Rename an existing folder to ``<folder>.1``, ``.2``, ...: nothing computed is lost.

    Raises:
        OutputError: it cannot be renamed.
    """
    if not folder.exists():
        return
    number = next(n for n in range(1, 10_000) if not folder.with_name(f"{folder.name}.{n}").exists())
    aside = folder.with_name(f"{folder.name}.{number}")
    try:
        folder.rename(aside)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot move it aside: {error.strerror}; choose another --output"
        ) from None
    print(f"earlier results moved to {aside}", file=sys.stderr)  # noqa: T201


def claim(folder: Path, config: RunConfig, facts: Mapping[str, Any]) -> None:
    """Write the resolved configuration and the environment, unless the folder holds another run.

    Raises:
        OutputError: names what differs: configuration, weights, data, versions or device.
    """
    path = folder / ENVIRONMENT
    if path.exists():
        try:
            before = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise OutputError(f"{path}: damaged ({error}); use --no-resume or another --output") from None
        changed = environment.differences(_decisive(before), _decisive(facts))
        if changed:
            raise OutputError(
                f"{folder}: holds a run with other {'; '.join(changed[:4])}; "
                "use --no-resume or another --output"
            )
    settings = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    write_atomically(folder / CONFIG, lambda temporary: temporary.write_text(settings))
    write_atomically(path, lambda temporary: temporary.write_text(json.dumps(facts, indent=2) + "\n"))


def map_path(folder: Path, key: Key) -> Path:
    """Where the saliency map of a record is kept."""
    return folder / "maps" / key.model / key.method / f"{key.image_id}_{key.class_name}.npy"


def save_map(folder: Path, key: Key, saliency: torch.Tensor) -> None:
    """Keep a (H, W) float32 map as a NumPy file.

    Raises:
        OutputError: the disk is full or gone.
    """

    def write(path: Path) -> None:
        with path.open("wb") as file:
            np.save(file, saliency.cpu().numpy())

    write_atomically(map_path(folder, key), write)


def _decisive(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts that two sessions of one run must share, as plain JSON."""
    chosen = {key: facts.get(key) for key in (*environment.DECISIVE, "identity")}
    weights = {name: model.get("weights_sha256") for name, model in facts.get("models", {}).items()}
    data = facts.get("data", {}).get("fingerprint")
    plain: dict[str, Any] = json.loads(json.dumps(chosen | {"weights": weights, "data": data}))
    return plain
