"""Finds the methods of a folder of maps, and makes a configuration that measures these maps."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from adasise_bench.data.map_files import files_below, map_name, names_of
from adasise_bench.methods.registry import STORED_MAP
from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.description import read_config, read_environment
from adasise_bench.records.folder_names import CONFIG, ENVIRONMENT, MAPS
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config, validate
from adasise_bench.run.plan import make_plan
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.settings import suggest

_SHOWN = 5
_EXPECTED = "IMAGE/CLASS.npy (or .npz, .png)"


@dataclass(frozen=True)
class StoredMaps:
    """The maps of a folder, by the method that made them.

    Attributes:
        root: the folder with the maps.
        entries: by label, what stands under ``methods`` for a method's maps.
        surplus: files that hold no map of a pair of the data set, without hidden ones, relative to ``root``.
    """

    root: Path
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)
    surplus: list[Path] = field(default_factory=list)

    def notes(self) -> Iterator[str]:
        """One line that counts the surplus files and names the first of them, if there are any."""
        if self.surplus:
            named = ", ".join(path.as_posix() for path in self.surplus[:_SHOWN])
            more = f" and {len(self.surplus) - _SHOWN} more" if len(self.surplus) > _SHOWN else ""
            count = f"{len(self.surplus)} file{'s' if len(self.surplus) > 1 else ''}"
            yield f"left out: {count} in {self.root} not named after a pair of the data: {named}{more}"


def load_data_and_network(path: Path, overrides: Sequence[str], models: Iterable[str]) -> RunConfig:
    """The configuration in a file, whatever methods it names: these are neither needed nor loaded.

    Raises:
        ConfigError: see :func:`.load_config`.
    """
    return load_config(path, [*overrides, "methods=[random]"], models)


def find_maps(folder: Path, config: RunConfig, label: str | None = None) -> StoredMaps:
    """Find the maps in a folder.

    Args:
        folder: a run folder with maps or its ``maps``, or a folder of ``IMAGE/CLASS`` or
            ``METHOD/IMAGE/CLASS``, with the suffix .npy, .npz or .png.
        config: names the data and the models that the maps are of.
        label: how the method of ``IMAGE/CLASS`` is called; by default, as the folder.

    Raises:
        ConfigError: the maps are of other models than the configuration, or of several methods.
        DataError: no such folder, or no map in it is of a pair of the data.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name a run folder with maps, or a folder of {_EXPECTED}")
    pairs = _Pairs.of(config)
    run = folder.parent if folder.name == MAPS and _is_run(folder.parent) else folder
    found = _of_run(run, config, pairs) if _is_run(run) else _of_folder(folder, config, pairs, label)
    if not found.entries:
        raise DataError(f"{found.root}: {pairs.none_found(found.root)}")
    if label is not None and label not in found.entries:
        raise ConfigError(
            f"--method-name: the folders in {found.root} name the methods ({', '.join(found.entries)}); "
            "choose with --methods"
        )
    of_methods = [
        (path, parent)
        for entry in found.entries.values()
        for parent in map(Path, entry["folders"].values())
        for path in files_below(parent)
    ]
    used = {path for path, parent in of_methods if pairs.can_have(map_name(path, parent))}
    there = files_below(found.root)
    others = [path.relative_to(found.root) for path in there if path.absolute() not in used]
    surplus = [path for path in others if not any(part.startswith(".") for part in path.parts)]
    return StoredMaps(found.root, found.entries, surplus)


def measuring(
    config: RunConfig,
    maps: StoredMaps,
    *,
    methods: Sequence[str] = (),
    resize: bool = False,
    negative: Literal["refuse", "clamp"] = "refuse",
) -> tuple[RunConfig, list[str]]:
    """The run that measures stored maps, and what its user must know, one line each.

    Args:
        config: data, networks and settings; its methods are replaced.
        maps: what to measure.
        methods: labels of the maps to measure; by default all.
        resize: resize maps that do not have the input's size.
        negative: what becomes of negative values.

    Raises:
        ConfigError: no maps of such a method, or a folder's name cannot be a label.
    """
    for name in methods:
        if name not in maps.entries:
            raise ConfigError(
                f"--methods: no maps of {name!r} in {maps.root}{suggest(name, maps.entries, methods)}"
            )
    again = [name for name in config.extra_metrics if METRICS[name].explains_again]
    options = {"resize": resize, "negative": negative}
    tree = config.model_dump(mode="json") | {
        "name": f"measured-{config.name}"[:100],
        "methods": [maps.entries[name] | options for name in methods or maps.entries],
        "extra_metrics": [name for name in config.extra_metrics if name not in again],
    }
    notes = list(maps.notes())
    notes += [f"not computed: {name}, for which a method must explain every picture again" for name in again]
    return validate(tree, str(maps.root)), notes


def _of_run(run: Path, config: RunConfig, pairs: _Pairs) -> StoredMaps:
    """Maps at ``maps/MODEL/METHOD``, in the order of the run's methods."""
    root = run / MAPS
    there = sorted(path.name for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    if not there:
        raise DataError(f"{run}: a run without maps; give the run again with --save-maps")
    for model in config.models:
        if model not in there:
            raise ConfigError(
                f"{root}: no maps of {model}, which the configuration names; choose with --models "
                f"(there are maps of {', '.join(there)})"
            )
    makers = _makers(run)
    labels = {path.name for model in config.models for path in (root / model).iterdir() if path.is_dir()}
    order = [label for label in makers if label in labels]
    entries = {}
    for label in [*order, *sorted(labels - set(order))]:
        folders = {model: root / model / label for model in config.models}
        if any(map(pairs.any_in, folders.values())):
            entries[label] = _entry(label, folders) | {"made_by": makers.get(label, {})}
    return StoredMaps(root, entries)


def _of_folder(root: Path, config: RunConfig, pairs: _Pairs, label: str | None) -> StoredMaps:
    """Maps of one method at ``IMAGE/CLASS``, or of several at ``METHOD/IMAGE/CLASS``."""
    if len(config.models) > 1:
        raise ConfigError(
            f"{root}: its maps are of one network, and the configuration has several; choose with --models "
            f"({', '.join(config.models)})"
        )
    (model,) = config.models
    if pairs.any_in(root):
        name = label or root.resolve().name
        return StoredMaps(root, {name: _entry(name, {model: root})})
    folders = sorted(path for path in root.iterdir() if path.is_dir() and pairs.any_in(path))
    return StoredMaps(root, {path.name: _entry(path.name, {model: path}) for path in folders})


def _entry(label: str, folders: dict[str, Path]) -> dict[str, Any]:
    """Paths are absolute, so that it does not matter how, and from where, the same folder is named."""
    absolute = {model: str(path.absolute()) for model, path in folders.items()}
    return {"name": STORED_MAP, "label": label, "folders": absolute}


def _is_run(folder: Path) -> bool:
    return (folder / CONFIG).is_file() and (folder / ENVIRONMENT).is_file()


def _makers(run: Path) -> dict[str, dict[str, Any]]:
    """By label, the name and the changed options of the methods of a run.

    Raises:
        DataError: a file of the run folder cannot be read.
    """
    try:
        changed = read_environment(run)["methods"]
        return {
            str(entry["label"]): {"name": entry["name"], **changed.get(entry["label"], {})}
            for entry in read_config(run)["methods"]
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{run}: cannot read which methods made the maps ({error!r}); name the folder of one model's "
            f"maps instead, such as {run / MAPS / 'resnet50'}"
        ) from None


@dataclass(frozen=True)
class _Pairs:
    """How the maps of a data set's pairs can be called, see :func:`.map_name`.

    Attributes:
        names: those of all pairs.
        unknown: beginnings of those of pictures whose annotations cannot be used.
    """

    names: frozenset[str]
    unknown: tuple[str, ...]

    @classmethod
    def of(cls, config: RunConfig) -> _Pairs:
        """Of the whole data set, whatever part of it is measured."""
        whole = {"limit": None, "shard": None, "data": config.data.model_copy(update={"sample": None})}
        plan = make_plan(config.model_copy(update=whole))
        names = (
            name
            for image_id, class_name in plan.pairs
            if class_name is not None
            for name in names_of(image_id, class_name)
        )
        return cls(
            frozenset(names), tuple(f"{image_id}{mark}" for image_id in plan.unusable for mark in "/_")
        )

    def can_have(self, name: str | None) -> bool:
        """Whether a map of this name can be that of a pair."""
        return name is not None and (name in self.names or name.startswith(self.unknown))

    def any_in(self, folder: Path) -> bool:
        """Whether a folder holds the map of a pair."""
        return any(map_name(path, folder) in self.names for path in files_below(folder))

    def none_found(self, folder: Path) -> str:
        """Why nothing in a folder is the map of a pair, with the nearest name that a map could have."""
        given = [name for path in files_below(folder) if (name := map_name(path, folder))]
        if not given:
            return f"holds no map; maps are {_EXPECTED}"
        wanted = {name.casefold(): name for name in self.names}
        parts = given[0].split("/")
        ends = ("/".join(parts[start:]).casefold() for start in range(len(parts)))
        meant = next(
            (f"did you mean {wanted[end]!r}?" for end in ends if end in wanted), f"maps are {_EXPECTED}"
        )
        return f"no map is named after a pair of the data, such as {given[0]!r}; {meant}"
