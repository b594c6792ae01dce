"""Joins the run folders of all shards into the folder that one run would have made."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from adasise_bench.data.names import Names
from adasise_bench.data.selection import chosen_images, parse_shard, shard_of
from adasise_bench.records import environment, manifest
from adasise_bench.records import folder as run_folder
from adasise_bench.records.checks import refuse_impossible
from adasise_bench.records.description import read_config, read_environment
from adasise_bench.records.folder_names import CONFIG, FINISHED, IN_FLIGHT, MAPS, no_run_folder
from adasise_bench.records.reading import checked_batches, cure, reader
from adasise_bench.records.record import Key
from adasise_bench.run.config import RunConfig
from adasise_bench.run.merged_records import MergedOrder, ShardKeys, read_keys
from adasise_bench.utils.errors import ConfigError, DataError, OutputError
from adasise_bench.utils.files import folder_made_atomically, regular
from adasise_bench.utils.memory import release_unused
from adasise_bench.utils.quantities import counted
from adasise_bench.utils.settings import first_problem


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
    order = _order(shards)
    release_unused()
    try:
        with folder_made_atomically(out) as unfinished:
            order.write_lines(unfinished / IN_FLIGHT)
            order.write_finished(unfinished / FINISHED)
            _write_facts(unfinished, shards, order.pairs)
            _link_maps(unfinished, shards)
            manifest.seal(unfinished)
    except OSError as error:
        raise OutputError(f"{out}: cannot write: {error.strerror or error}; choose another folder") from None
    return order.planned


def _opened(folder: Path) -> Shard:
    manifest.verify(folder)
    try:
        tree, facts = read_config(folder), read_environment(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise no_run_folder(folder) from None
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
    for records in checked_batches(reader(shard.folder), shard.folder):
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


def _order(shards: Sequence[Shard]) -> MergedOrder:
    """The order of the whole run's records, from the list of pictures and the pairs that shards explained."""
    config, names = shards[0].whole, _image_ids(shards[0])
    models, methods = list(config.models), [method.label for method in config.methods]
    keys = []
    for shard in shards:
        keys.append(read_keys(shard.folder / FINISHED, names, models, methods))
        _refuse_misplaced(shard, keys[-1])
    for shard, own in zip(shards, keys, strict=True):
        found, planned = len(own.pair_images), shard.facts["data"]["pairs"]
        if found != planned:
            raise DataError(
                f"{shard.folder}: has {found} of {planned} image-class pairs; give the shard's command again"
            )
    order = MergedOrder(keys, len(names), len(models) * len(methods))
    for number, own in enumerate(keys):
        if (row := order.twice(number)) is not None:
            raise DataError(f"{shards[number].folder}: holds {_named(own.key(row))} twice")
    if lacking := order.lacking():
        image, of_image = order.image_and_class(lacking[0])
        number = shard_of(names[image], shards[0].count) - 1
        pair = int(keys[number].pair_images.searchsorted(image)) + of_image
        model, method = divmod(lacking[0] // order.pairs, len(methods))
        key = keys[number].key(int(keys[number].pair_rows[pair]))
        first = key._replace(model=models[model], method=methods[method])
        raise DataError(
            f"{shards[number].folder}: lacks {counted(len(lacking), 'record')}, the first {_named(first)}; "
            "give the shard's command again"
        )
    return order


def _image_ids(shard: Shard) -> Names:
    """The ids of the whole run's images, in their order."""
    config, listed = shard.whole, run_folder.picture_hashes(shard.folder).names
    if config.data.sample is None and config.limit is None:
        return listed  # without a copy, because there may be millions
    return Names(chosen_images(listed, config.data.sample, config.seed, config.limit))


def _refuse_misplaced(shard: Shard, keys: ShardKeys) -> None:
    """Refuse a shard with a picture of another shard."""
    misplaced = [
        number
        for number, image_id in enumerate(keys.image_ids)
        if shard_of(image_id.as_py(), shard.count) != shard.index
    ]
    if misplaced:
        first = keys.image_ids[min(misplaced, key=keys.first_of_image)].as_py()
        raise DataError(f"{shard.folder}: holds a record of {first}, which belongs to another shard")


def _write_facts(folder: Path, shards: Sequence[Shard], pairs: int) -> None:
    """Write configuration, environment and hashes of the whole run; what may differ is listed by shard."""
    first = shards[0]
    images = sum(shard.facts["data"]["images"] for shard in shards)
    turned = sum(shard.facts["data"].get("turned_on_trust", 0) for shard in shards)
    facts = first.facts | {
        "data": first.facts["data"] | {"images": images, "pairs": pairs, "turned_on_trust": turned},
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
