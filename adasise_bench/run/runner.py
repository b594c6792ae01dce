"""Drives a run: plans it, lets the workers of a launcher make the records, and writes them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from contextlib import chdir
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adasise_bench.records import folder as run_folder
from adasise_bench.records import manifest
from adasise_bench.records.maps import kept_map
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.store import RecordStore
from adasise_bench.run.config import RunConfig
from adasise_bench.run.launchers import Launcher
from adasise_bench.run.launchers.in_process import InProcess
from adasise_bench.run.plan import Plan, make_plan
from adasise_bench.run.progress import Progress
from adasise_bench.utils.determinism import deterministic
from adasise_bench.utils.errors import BenchError

_HASHED_AT_ONCE = 4_096


@dataclass(frozen=True)
class Outcome:
    """How many records a run made, kept from an earlier session, and has as errors."""

    computed: int
    reused: int
    errors: int


def run(
    config: RunConfig,
    folder: Path,
    *,
    resume: bool = True,
    launcher: Launcher | None = None,
    verify: bool = False,
) -> Outcome:
    """Explain every pair of the plan and compute its metrics, and add to what the folder already holds.

    Args:
        config: the run.
        folder: run folder, made if needed.
        resume: keep the folder's records; otherwise the folder is first moved aside.
        launcher: runs the workers; by default, this process is the only one.
        verify: read every file of the data set again, even if it is known from an earlier start.

    Raises:
        BenchError: bad data root, weights or device, or a folder that cannot be used; records already
            written stay valid, as they do after a ``KeyboardInterrupt``.
    """
    folder = folder.absolute()
    with chdir(Path.cwd()), deterministic(config.deterministic):  # code of the user may change the directory
        return _run(config, folder, resume, launcher or InProcess(config, folder), verify)


def _run(config: RunConfig, folder: Path, resume: bool, launcher: Launcher, verify: bool) -> Outcome:
    plan = make_plan(config, verify=verify)
    with launcher:
        launcher.open(plan)
        run_folder.refuse_foreign(folder)
        if not resume and folder.exists():
            with run_folder.exclusive(folder):
                run_folder.move_aside(folder)
        with run_folder.exclusive(folder):
            facts = launcher.prepare(run_folder.engines(folder))
            pictures = plan.dataset.digests()
            run_folder.claim(folder, config.written(), facts | _facts(plan, pictures), pictures)
            for note in plan.notes:
                print(note, file=sys.stderr)  # noqa: T201
            store = RecordStore(folder, plan.keys)
            try:
                todo = KeySet(plan.keys, ~_done(store, plan, folder))
                with Progress(folder, launcher, len(plan.keys), len(todo)) as progress:
                    for records in launcher.records(plan, todo, pictures):
                        store.append(records)
                        progress.update(records)
                _refuse_missing(KeySet(plan.keys, store.missing), folder)
                store.finish()
                manifest.seal(folder)
            finally:
                store.close()
    return Outcome(len(todo), len(plan.keys) - len(todo), store.errors)


def _facts(plan: Plan, pictures: Mapping[str, str]) -> dict[str, Any]:
    """What the records are made from, ready for JSON."""
    config = plan.config
    full_images, full_pairs = plan.dataset.full_size
    return {
        "data": {
            "name": plan.dataset.name,
            "classes": list(plan.dataset.classes),
            "fingerprint": _fingerprint(pictures),
            "images": len(plan.annotations),
            "pairs": plan.keys.pairs,
            "embedded": config.data.embedded,
            "full_images": full_images,
            "full_pairs": full_pairs,
            "left_out": plan.dataset.left_out,
            "turned_on_trust": plan.turned_on_trust,
            "notes": list(plan.dataset.notes),
        },
        "methods": {method.label: method.changed_options() for method in config.methods},
        "identity": config.identity(),
    }


def _fingerprint(pictures: Mapping[str, str]) -> str:
    """SHA-256 of ``json.dumps`` of the mapping, without its text in memory."""
    hashed = hashlib.sha256(b"{")
    separator, items = "", iter(pictures.items())
    while some := dict(islice(items, _HASHED_AT_ONCE)):
        hashed.update(f"{separator}{json.dumps(some)[1:-1]}".encode())
        separator = ", "
    hashed.update(b"}")
    return hashed.hexdigest()


def _refuse_missing(missing: KeySet, folder: Path) -> None:
    """Compare what was planned with what there is, so that no record is lost without a message.

    Raises:
        BenchError: a planned record was not made; the run is not finished.
    """
    if len(missing):
        example = next(key for key in missing.planned if key in missing)
        named = " ".join(str(part) for part in example)
        raise BenchError(
            f"{folder}: {len(missing)} of {len(missing.planned)} planned records were not made, for example "
            f"{named}; give the same command again to make them"
        )


def _done(store: RecordStore, plan: Plan, folder: Path) -> NDArray[np.bool_]:
    """Which planned records are done. Errors are tried again, and so are records whose wanted map is missing.

    Returns:
        (planned keys,) bool.
    """
    done = store.explained
    if plan.config.save_maps:
        for position, key in enumerate(plan.keys):
            done[position] = done[position] and kept_map(folder, key).exists()
    return done


def default_folder(config: RunConfig) -> Path:
    """``results/<name>-<digest of the configuration>``: each configuration and shard has its own."""
    shard = f"-shard-{config.shard.replace('/', '-of-')}" if config.shard else ""
    return Path("results") / f"{config.name}-{config.digest()}{shard}"
