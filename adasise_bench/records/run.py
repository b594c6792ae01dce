"""Reads run folders and joins their records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import AliasChoices, BaseModel, Field, ValidationError

from adasise_bench.data.rules import PROTOCOL, Rules
from adasise_bench.records import manifest
from adasise_bench.records.checks import refuse_impossible
from adasise_bench.records.description import read_config, read_environment
from adasise_bench.records.folder_names import CONFIG, ENVIRONMENT, FINISHED, IN_FLIGHT
from adasise_bench.records.reading import Read, all_records, checked_batches, cure, reader
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.settings import first_problem


@dataclass(frozen=True)
class Run:
    """A run folder as read from the disk.

    Attributes:
        read: reads some columns of the records, or all, a group of rows after the other.
    """

    folder: Path
    config: dict[str, Any]
    environment: dict[str, Any]
    read: Read

    @cached_property
    def records(self) -> pd.DataFrame:
        """All records in memory; where there are millions of them, read columns instead."""
        return all_records(self.read, self.folder)


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
    rules: Rules = PROTOCOL
    extra_metrics: list[str] = Field([], validation_alias=AliasChoices("extra_metrics", "measures"))


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
        DataError: a file is missing, damaged or was changed after the run, the records cannot belong to
            it, or the folder holds no run.
    """
    manifest.verify(folder)
    read = reader(folder)
    config = _read(folder / CONFIG, read_config, _Config)
    environment = _read(folder / ENVIRONMENT, read_environment, _Environment)
    name = FINISHED if (folder / FINISHED).exists() else IN_FLIGHT
    for records in checked_batches(read, folder):
        for model in records["model"].unique():
            if model not in environment["models"]:
                raise DataError(f"{folder / ENVIRONMENT}: says nothing of {model}; run again")
        refuse_impossible(
            records,
            score=config["score"],
            models=environment["models"],
            where=str(folder / name),
            cure=cure(folder, name),
        )
    return Run(folder, config, environment, read)


def _read(path: Path, read: Callable[[Path], Any], schema: type[BaseModel]) -> dict[str, Any]:
    try:
        return schema.model_validate(read(path.parent)).model_dump()
    except OSError as error:
        reason = f"cannot read it: {error.strerror or error}"
    except ValidationError as error:
        reason = f"damaged: {first_problem(error, schema)}"
    except ValueError as error:
        reason = f"damaged: {error}"
    raise DataError(f"{path}: {reason}; name a folder that `adasise-bench run` wrote, or run again")
