"""What a run is expected to download and to write."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from adasise_bench.data.shipped_counts import VOC_TEST, VOC_TEST_ARCHIVE_BYTES
from adasise_bench.models import custom, torchray_networks
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.checkpoint import place_of
from adasise_bench.models.config import CustomModel
from adasise_bench.run.config import RunConfig
from adasise_bench.run.forecast.networks import Trial
from adasise_bench.run.forecast.pictures import Pictures

_RECORD_BYTES = 1500
"""A record takes about 1200 bytes in ``records.jsonl`` and 300 in ``records.parquet`` where drawn
scenes were explained."""

_MAP_HEADER_BYTES = 128
"""Of a file in NumPy's format."""


class Download(NamedTuple):
    """Something that a run fetches.

    Attributes:
        what: for people.
        size: in bytes; ``None`` where it is unknown.
        place: where it goes.
    """

    what: str
    size: int | None
    place: str


def downloads(
    config: RunConfig, pictures: Pictures, trials: Mapping[str, Trial | None]
) -> Iterator[Download]:
    """What a run fetches that is not here yet.

    Args:
        config: the run.
        pictures: those of the run.
        trials: of its networks, by model; ``None`` where there was none.
    """
    if pictures.downloaded:
        yield Download(
            f"{VOC_TEST} (as much again when unpacked)", VOC_TEST_ARCHIVE_BYTES, str(config.data.root)
        )
    for name, model in config.models.items():
        trial = trials[name]
        size = trial.weights_bytes if trial else None
        if isinstance(model, CustomModel) and model.source == "timm" and model.weights:
            yield Download(
                f"timm's weights of {name}, if they are not there", size, "the cache of Hugging Face"
            )
        elif (url := _weights_url(config, name)) is not None and not (place := place_of(url)).exists():
            yield Download(f"weights of {name}", size, str(place.parent))


def _weights_url(config: RunConfig, name: str) -> str | None:
    model = config.models[name]
    if model.checkpoint is not None:
        return None
    if isinstance(model, CustomModel):
        return custom.weights_url(name, model)
    return torchray_networks.weights_url(name, config.data.kind) if ARCHITECTURES[name].unloaded else None


def record_bytes(explanations: int) -> int:
    """About how much the records of a run take."""
    return _RECORD_BYTES * explanations


def map_bytes(config: RunConfig, explanations: int) -> int:
    """How much the saved maps take; 0 where they are not saved. Maps of ``short-side`` take a third more."""
    if not config.save_maps:
        return 0
    side = config.data.input_size
    return explanations * (4 * side * side + _MAP_HEADER_BYTES)


def free_bytes(place: Path) -> int:
    """What is free on the disk of a folder that may not be there yet."""
    existing = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
    return shutil.disk_usage(existing).free
