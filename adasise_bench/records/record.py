"""The records of a run: what they hold, and how they are read back."""

from __future__ import annotations

import json
import re
import zlib
from dataclasses import dataclass, fields, make_dataclass
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import pyarrow as pa
from pydantic import ConfigDict, Field, TypeAdapter, with_config

from adasise_bench.metrics.registry import COMPUTED

CHANCE = tuple(f"chance_{level}_{metric}" for level in ("pixel", "gaussian") for metric in ("ebpg", "bbox"))
"""Columns that say what maps get on a pair that do not look at the picture."""


class Key(NamedTuple):
    """What identifies a record; ``class_name`` is ``None`` where the annotation could not be read."""

    model: str
    method: str
    image_id: str
    class_name: str | None


Count = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class _Recorded:
    """What a record holds beside the metrics."""

    model: str
    method: str
    image_id: str
    class_name: str | None
    score: float | None = None
    box_share: float | None = None
    chance_pixel_ebpg: float | None = None
    chance_pixel_bbox: float | None = None
    chance_gaussian_ebpg: float | None = None
    chance_gaussian_bbox: float | None = None
    seconds: float | None = None
    seconds_feature_maps: float | None = None
    seconds_selection: float | None = None
    seconds_scoring: float | None = None
    seconds_fusion: float | None = None
    seconds_optimisation: float | None = None
    seconds_plain_forward: float | None = None
    forwards: Count | None = None
    backwards: Count | None = None
    peak_memory_mb: float | None = None
    maps_kept: list[Count] | None = None
    maps_positive: list[Count] | None = None
    degenerate: bool | None = None
    error: str | None = None
    published_model: bool | None = None
    weights: str | None = None
    maps_live: list[Count] | None = None
    rank: Count | None = None
    class_scores: list[float] | None = None
    classes_annotated: list[Count] | None = None
    classes_difficult: list[Count] | None = None
    mask_precision: str | None = None

    @property
    def key(self) -> Key:
        """The record's identity."""
        return Key(self.model, self.method, self.image_id, self.class_name)


if TYPE_CHECKING:

    class Record(_Recorded):
        """Documented below, where the fields of the metrics are added from their registry."""

        def __init__(self, *key: str | None, **values: Any) -> None: ...

        def __getattr__(self, metric: str) -> float | None: ...  # noqa: D105

else:
    Record = make_dataclass(
        "Record", [(name, float | None, None) for name in COMPUTED], bases=(_Recorded,), frozen=True
    )
    Record.__module__ = __name__  # so that records can be sent to other processes
    Record.__doc__ = """One explanation: a field for every metric of the registry, and what else was found.

    A metric is null if it was not asked for, or does not exist for the pair; its function says when.

    Attributes:
        score: Ψ of the whole picture.
        box_share: percent of the input's pixels inside the class's boxes, what a uniform map gets as EBPG.
        chance_pixel_*, chance_gaussian_*: what the centre pixel and the centre Gaussian get on the pair, in
            percent: see :func:`~adasise_bench.metrics.chance.pair_levels`.
        seconds, seconds_*: run-time in total and by phase.
        seconds_plain_forward: seconds per input of a plain batched forward pass, timed just before the
            picture's explanations or, if explanations are quick, before those of an earlier picture of the
            same size.
        forwards, backwards: inputs passed through the network by the method.
        peak_memory_mb: the most memory that tensors took on the GPU during the explanation, in 10^6 bytes,
            with the run's networks; null on the CPU, and with shared forwards, because it then belongs to
            several explanations.
        maps_kept, maps_positive, maps_live: numbers of feature maps, per block, that were kept, that had
            positive gradients, and that were kept and are not constant.
        degenerate: whether all pixels of the map are equal.
        error: the reason why there is no explanation; the metrics are then null.
        rank: place of the class among the data's classes by their Ψ of the whole picture, from 1.
        class_scores: Ψ of all of the data's classes, in their order. Of a picture's records by one network,
            only one has this and the next two: that of the run's first method and the picture's first class.
        classes_annotated, classes_difficult: numbers of the classes on the picture, and of those of them
            whose objects are all "difficult".
        mask_precision: arithmetic in which the masks were scored, where the run asks for a faster one than
            fp32: that one, or a more exact one where a sample of the masks disagreed.
        published_model, weights: whether the weights are TorchRay's, and the start of their SHA-256.
    """
    Record = with_config(ConfigDict(extra="forbid", allow_inf_nan=False))(Record)


_LINE = TypeAdapter(Record)

_TYPES = {"str": pa.string(), "float": pa.float64(), "Count": pa.int64(), "bool": pa.bool_(),
          "list[Count]": pa.list_(pa.int64()), "list[float]": pa.list_(pa.float32())}  # fmt: skip

_COLUMNS = {field.name: _TYPES[str(field.type).removesuffix(" | None")] for field in fields(Record)}

SCHEMA = pa.schema([(name, _COLUMNS[name]) for name in dict.fromkeys((*Key._fields, *COMPUTED, *_COLUMNS))])
"""Columns of the finished file: first the key, then the metrics, then all others."""


_CHECKSUM = re.compile(rb', "crc32": "([0-9a-f]{8})"\}\n?$')
"""How a line of :data:`IN_FLIGHT` ends; lines of earlier versions end without."""


class ChangedLineError(ValueError):
    """The checksum of a line does not fit the line."""


_JSON = json.JSONEncoder(allow_nan=False)


def to_line(record: Record) -> bytes:
    """A record as one line of :data:`IN_FLIGHT`: JSON, whose last entry is the CRC-32 of all before it."""
    return with_checksum(_JSON.encode(vars(record)).encode())


def with_checksum(body: bytes) -> bytes:
    """A line of :data:`IN_FLIGHT` from the JSON of a record."""
    return body[:-1] + b', "crc32": "%08x"}\n' % zlib.crc32(body)


def parse_line(line: bytes) -> Record:
    """The record in one line of :data:`IN_FLIGHT`; a line without a checksum is accepted.

    Raises:
        ChangedLineError: its checksum does not fit.
        ValueError: it is not a record.
    """
    if stated := _CHECKSUM.search(line):
        line = line[: stated.start()] + b"}"
        if zlib.crc32(line) != int(stated[1], 16):
            raise ChangedLineError
    return _LINE.validate_json(line, strict=True)
