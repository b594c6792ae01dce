"""Reads run folders and joins their records."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import BaseModel, ValidationError

from adasise_bench.records import evidence, manifest
from adasise_bench.records.checks import refuse_impossible
from adasise_bench.records.folder_names import CONFIG, ENVIRONMENT, FINISHED, IN_FLIGHT
from adasise_bench.records.record import Key, cure, read_records
from adasise_bench.utils import plain_yaml
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.files import read_text
from adasise_bench.utils.settings import first_problem


@dataclass(frozen=True)
class Run:
    """A run folder as read from the disk."""

    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    records: pd.DataFrame


class _MethodEntry(BaseModel, extra="allow"):
    name: str
    label: str


class _DataSettings(BaseModel, extra="allow"):
    input_size: int
    resize: str


class _Config(BaseModel, extra="allow"):
    """What the tables need of ``config.yaml``."""

    methods: list[_MethodEntry]
    models: dict[str, dict[str, Any]]
    data: _DataSettings
    score: str
    measures: list[str] = []


class _Tool(BaseModel, extra="allow"):
    version: str
    commit: str | None


class _Weights(BaseModel, extra="allow"):
    weights_sha256: str
    weights_file: str
    published: bool
    maps_available: list[int]


class _DataFacts(BaseModel, extra="allow"):
    name: str
    images: int
    pairs: int
    embedded: bool
    full_images: int | None
    full_pairs: int | None
    left_out: int = 0


class _Environment(BaseModel, extra="allow"):
    """What the tables need of ``environment.json``."""

    tool: _Tool
    torch: str
    device: str
    device_name: str
    precision: str
    models: dict[str, _Weights]
    methods: dict[str, dict[str, Any]]
    data: _DataFacts
    definitions: dict[str, str] = {}


def load_run(folder: Path) -> Run:
    """Read a run folder, finished or in flight.

    Raises:
        DataError: a file is missing, damaged or was changed after the run, the records cannot be of it, or
            the folder holds no run.
    """
    manifest.verify(folder)
    records = read_records(folder)
    config = _read(folder / CONFIG, plain_yaml.parse, _Config)
    environment = _read(folder / ENVIRONMENT, json.loads, _Environment)
    for model in records["model"].unique():
        if model not in environment["models"]:
            raise DataError(f"{folder / ENVIRONMENT}: says nothing of {model}; run again")
    name = FINISHED if (folder / FINISHED).exists() else IN_FLIGHT
    refuse_impossible(
        records,
        score=config["score"],
        models=environment["models"],
        where=str(folder / name),
        cure=cure(folder, name),
    )
    return Run(folder, config, environment, records)


def _read(path: Path, parse: Callable[[str], Any], schema: type[BaseModel]) -> dict[str, Any]:
    try:
        return schema.model_validate(parse(read_text(path, within=path.parent))).model_dump()
    except OSError as error:
        reason = f"cannot read it: {error.strerror or error}"
    except ValidationError as error:
        reason = f"damaged: {first_problem(error, schema)}"
    except RecursionError:
        reason = "damaged: nested too deeply"
    except ValueError as error:
        reason = f"damaged: {error}"
    raise DataError(f"{path}: {reason}; name a folder that `adasise-bench run` wrote, or run again")


def combine(runs: Sequence[Run]) -> pd.DataFrame:
    """The records of several runs as one frame, with the columns of a record and ``timed_on``.

    Records with equal keys become one: each column takes its first value that is not null, in the order
    of ``runs``, except that all run-times of a method on a model, and its memory, come from the first run
    that has any run-time, and that an error does not outlive an explanation. ``timed_on`` names the device
    and precision that ``seconds`` comes from.

    Raises:
        ConfigError: two runs measured one model, or one method on it, under different settings, on other
            pictures, or for other classes.
        DataError: there is not one record.
    """
    _refuse_disagreement(runs)
    frames = [run.records.assign(timed_on=_timed_on(run)) for run in runs if not run.records.empty]
    if not frames:
        raise DataError(f"{_names(runs)}: no records yet; wait for the first, or start the run again")
    joined = _times_of_one_run(pd.concat(frames, keys=range(len(frames)), names=["run", "row"]))
    records = joined.groupby(list(Key._fields), sort=False, dropna=False).first().reset_index()
    records["error"] = records["error"].where(records["score"].isna(), None)
    return records


def _times_of_one_run(joined: pd.DataFrame) -> pd.DataFrame:
    """Drop the run-times (and memory) of a model and method from all but the first run that has any."""
    times = [column for column in joined.columns if column.startswith("seconds")]
    times += ["timed_on", "peak_memory_mb"]
    run = pd.Series(joined.index.get_level_values("run"), index=joined.index)
    timed = run.where(joined["seconds"].notna())
    first = timed.groupby([joined["model"], joined["method"]]).transform("min")
    joined[times] = joined[times].where(run == first, axis=0)
    return joined


def _names(runs: Sequence[Run]) -> str:
    return ", ".join(str(run.folder) for run in runs)


def _timed_on(run: Run) -> pd.Series[Any]:
    device = f"{run.environment['device_name']}, {run.environment['precision']}"
    return run.records["seconds"].notna().map({True: device, False: None})


def _refuse_disagreement(runs: Sequence[Run]) -> None:
    seen: dict[tuple[str, str], tuple[Any, Path]] = {}
    for run in runs:
        for model, setting, value in _settings(run):
            first, folder = seen.setdefault((model, setting), (value, run.folder))
            if first != value:
                name, one, other = _first_difference(setting, first, value)
                raise ConfigError(
                    f"{folder} and {run.folder} differ in {name} of {model}: {one} and {other}; "
                    "report them separately"
                )


def _first_difference(setting: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """Where two values of a setting differ: of mappings the first entry that does."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted(one.keys() | other.keys())
        key = next(key for key in keys if one.get(key) != other.get(key))
        return _first_difference(f"{setting}.{key}", one.get(key), other.get(key))
    return setting, one, other


def _settings(run: Run) -> Iterator[tuple[str, str, Any]]:
    """What two runs must agree on, as (model, setting, value)."""
    data = run.config["data"]
    for model, weights in run.environment["models"].items():
        yield model, "weights", weights["weights_sha256"]
        yield model, "blocks", run.config["models"].get(model, {}).get("blocks")
        yield model, "score", run.config["score"]
        yield model, "precision", run.environment["precision"]
        yield model, "adasise-bench", run.environment["tool"]["version"]
        yield model, "data", run.environment["data"]["name"]
        if "fingerprint" in run.environment["data"]:
            yield model, "pictures (SHA-256)", str(run.environment["data"]["fingerprint"])[:16]
        for name, fact in evidence.of_data(run.environment).items():
            yield model, f"data.{name}", fact
        for name, fact in evidence.of_network(run.environment, model).items():
            yield model, f"network.{name}", fact
        yield model, "data.input_size", data["input_size"]
        yield model, "data.resize", data["resize"]
        for metric, definition in run.environment["definitions"].items():
            yield model, f"definition of {metric}", definition
        for method in run.config["methods"]:
            for option, value in method.items():
                yield model, f"{method['label']}.{option}", value
