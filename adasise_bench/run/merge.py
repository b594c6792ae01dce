"""Joins the run folders of all shards into the folder that one run would have made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from adasise_bench.data.selection import chosen_images, parse_shard, shard_of
from adasise_bench.records import environment, manifest
from adasise_bench.records import folder as run_folder
from adasise_bench.records.checks import refuse_impossible
from adasise_bench.records.description import read_config, read_environment
from adasise_bench.records.folder_names import CONFIG, FINISHED, MAPS
from adasise_bench.records.planned_keys import PlannedKeys
from adasise_bench.records.reading import as_damage, cure, finished_batches
from adasise_bench.records.record import Key, Record
from adasise_bench.records.row_groups import row_groups
from adasise_bench.records.store import RecordStore
from adasise_bench.run.config import RunConfig
from adasise_bench.utils.errors import ConfigError, DataError, OutputError
from adasise_bench.utils.files import folder_made_atomically, regular
from adasise_bench.utils.settings import first_problem

_AT_ONCE = 4_096


@dataclass(frozen=True)
class Shard:
    """One shard's finished run folder.

    Attributes:
        config: the shard's configuration.
        facts: its environment.
        index: number of the shard, from 1.
        count: number of shards.
    """

    folder: Path
    config: RunConfig
    facts: dict[str, Any]
    index: int
    count: int

    @property
    def whole(self) -> RunConfig:
        """The configuration of the run that this is a shard of."""
        return self.config.model_copy(update={"shard": None})

    def rows(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """The records, or some of their columns, in the order of the finished file."""
        path = self.folder / FINISHED
        with as_damage(path), regular(path, within=self.folder) as file:
            for group in row_groups(file, columns):
                for batch in group.to_batches(_AT_ONCE):
                    yield from batch.to_pylist()


def merge(out: Path, folders: Sequence[Path]) -> int:
    """Write the folder ``out``, which appears complete or not at all.

    Args:
        out: folder to make.
        folders: the run folders of all shards.

    Returns:
        The number of records.

    Raises:
        ConfigError: the folders do not belong together.
        DataError: a folder is not a finished shard, or shards or records are missing, given twice or
            misplaced.
        OutputError: ``out`` exists or cannot be written.
    """
    if out.exists():
        raise OutputError(f"{out}: exists already; choose another folder")
    shards = sorted(map(_opened, folders), key=lambda shard: shard.index)
    _refuse_disagreement(shards)
    for shard in shards:
        _refuse_impossible(shard)
    _refuse_gaps(shards)
    planned = _planned(shards)
    try:
        with folder_made_atomically(out) as unfinished:
            _write_records(unfinished, shards, planned)
            _write_facts(unfinished, shards, planned)
            _link_maps(unfinished, shards)
            manifest.seal(unfinished)
    except OSError as error:
        raise OutputError(f"{out}: cannot write: {error.strerror or error}; choose another folder") from None
    return len(planned)


def _opened(folder: Path) -> Shard:
    manifest.verify(folder)
    try:
        tree, facts = read_config(folder), read_environment(folder)
    except (OSError, ValueError) as error:
        raise DataError(f"{folder}: not a run folder ({error})") from None
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{folder / CONFIG}: {first_problem(error, RunConfig)}") from None
    if config.shard is None:
        raise DataError(f"{folder}: a whole run, and not a part made with --shard")
    if not (folder / FINISHED).exists():
        raise DataError(f"{folder}: shard {config.shard} is not finished; give its command again")
    index, count = parse_shard(config.shard)
    return Shard(folder, config, facts, index, count)


def _refuse_disagreement(shards: Sequence[Shard]) -> None:
    """Refuse shards that differ in something on which values may depend, as when a run is resumed."""
    first = shards[0]
    for shard in shards[1:]:
        differing = environment.differences(_shared(first), _shared(shard))
        if differing:
            raise ConfigError(
                f"{first.folder} and {shard.folder} are not shards of one run: {'; '.join(differing[:4])}"
            )


def _shared(shard: Shard) -> dict[str, Any]:
    return run_folder.decisive(shard.facts, shard.folder) | {
        "shards": shard.count,
        "limit": shard.config.limit,
        "save_maps": shard.config.save_maps,
        "pictures": shard.facts["data"]["fingerprint"],
    }


def _refuse_impossible(shard: Shard) -> None:
    """Check every record before the first one is copied."""
    path = shard.folder / FINISHED
    for records in finished_batches(path):
        refuse_impossible(
            records,
            score=shard.config.score,
            models=shard.facts["models"],
            where=str(path),
            cure=cure(shard.folder, FINISHED),
        )


def _refuse_gaps(shards: Sequence[Shard]) -> None:
    count = shards[0].count
    seen: dict[int, Path] = {}
    for shard in shards:
        if shard.index in seen:
            raise DataError(f"{seen[shard.index]} and {shard.folder}: both are shard {shard.config.shard}")
        seen[shard.index] = shard.folder
    missing = [f"{index}/{count}" for index in range(1, count + 1) if index not in seen]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        raise DataError(f"missing: shard {', '.join(missing[:10])}{more}")


def _planned(shards: Sequence[Shard]) -> PlannedKeys:
    """The whole run's keys, from the list of pictures and the classes that the shards explained."""
    config = shards[0].whole
    listed = run_folder.picture_hashes(shards[0].folder)
    chosen = chosen_images(listed, config.data.sample, config.seed, config.limit)
    classes: dict[str, list[str | None]] = {image_id: [] for image_id in chosen}
    for shard in shards:
        for row in shard.rows(["image_id", "class_name"]):
            image_id, class_name = row["image_id"], row["class_name"]
            if shard_of(image_id, shard.count) != shard.index:
                raise DataError(
                    f"{shard.folder}: holds a record of {image_id}, which belongs to another shard"
                )
            if image_id in classes and class_name not in classes[image_id]:
                classes[image_id].append(class_name)
    for shard in shards:
        own = [image_id for image_id in chosen if shard_of(image_id, shard.count) == shard.index]
        found = sum(len(classes[image_id]) for image_id in own)
        if found != shard.facts["data"]["pairs"]:
            raise DataError(
                f"{shard.folder}: has {found} of {shard.facts['data']['pairs']} image-class pairs; "
                "give the shard's command again"
            )
    labels = [method.label for method in config.methods]
    return PlannedKeys(list(config.models), labels, chosen, classes.__getitem__)


def _write_records(folder: Path, shards: Sequence[Shard], planned: PlannedKeys) -> None:
    seen = np.zeros(len(planned), np.bool_)
    store = RecordStore(folder, planned)
    try:
        for shard in shards:
            rows = shard.rows()
            while records := [Record(**row) for row in islice(rows, _AT_ONCE)]:
                for record in records:
                    position = planned.position(record.key)
                    if position is not None and seen[position]:
                        raise DataError(f"{shard.folder}: holds {_named(record.key)} twice")
                    if position is not None:
                        seen[position] = True
                store.append(records)
        if not seen.all():
            lacking = next(key for position, key in enumerate(planned) if not seen[position])
            shard = shards[shard_of(lacking.image_id, shards[0].count) - 1]
            raise DataError(
                f"{shard.folder}: lacks {int((~seen).sum())} records, the first {_named(lacking)}; "
                "give the shard's command again"
            )
        store.finish()
    finally:
        store.close()


def _write_facts(folder: Path, shards: Sequence[Shard], planned: PlannedKeys) -> None:
    """Write configuration, environment and hashes of the whole run; what may differ is listed by shard."""
    first = shards[0]
    images = sum(shard.facts["data"]["images"] for shard in shards)
    turned = sum(shard.facts["data"].get("turned_on_trust", 0) for shard in shards)
    facts = first.facts | {
        "data": first.facts["data"] | {"images": images, "pairs": planned.pairs, "turned_on_trust": turned},
        "devices": [device for shard in shards for device in shard.facts.get("devices", [])],
        "shards": {
            shard.config.shard: {
                "threads": shard.facts.get("threads"),
                "engines": {name: model.get("engine") for name, model in shard.facts["models"].items()},
            }
            for shard in shards
        },
    }
    run_folder.describe(folder, first.whole.written(), facts, run_folder.picture_hashes(first.folder))


def _link_maps(folder: Path, shards: Sequence[Shard]) -> None:
    """Link the maps into the folder, or copy them if the file system has no links."""
    for shard in shards:
        for path in sorted((shard.folder / MAPS).rglob("*.npy")):
            target = folder / path.relative_to(shard.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            with _map(path, shard.folder) as file:
                try:
                    os.link(os.path.realpath(path), target)
                except OSError:
                    with target.open("wb") as copy:
                        shutil.copyfileobj(file, copy)


def _map(path: Path, folder: Path) -> BufferedReader:
    """Open a map of a shard; a file that is not a plain file of its folder must not get into another one."""
    try:
        return regular(path, within=folder)
    except OSError as error:
        raise DataError(f"{path}: cannot read the map: {error.strerror or error}") from None


def _named(key: Key) -> str:
    return f"{key.model} {key.method} {key.image_id} {key.class_name}"
