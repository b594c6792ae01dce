"""Finished runs of random values, written in seconds, so that reading millions of records can be measured."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from numpy.typing import NDArray

LABELS = ("sise", "ada_sise", "grad_cam")
ROWS_AT_ONCE = 131_072
BLOCKS = [64, 256, 512, 1024, 2048]


def synthetic_run(folder: Path, pairs: int, seed: int = 0) -> None:
    """Write what `table`, `compare` and `report` need of a finished run, one row group after the other.

    Args:
        folder: is made.
        pairs: number of pairs; each of three methods has a record of each. Few records are errors.
        seed: of the values. Two seeds give the same pairs, with other values.
    """
    from adasise_bench.records.record import SCHEMA

    folder.mkdir(parents=True)
    config = {
        "name": "synthetic", "data": {"root": "none", "input_size": 224, "resize": "stretch"},
        "models": {"resnet50": {"blocks": "pool-input"}}, "score": "softmax", "extra_metrics": [],
        "methods": [{"name": label, "label": label} for label in LABELS],
    }  # fmt: skip
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "environment.json").write_text(json.dumps(_facts(pairs)))
    with pq.ParquetWriter(folder / "records.parquet", SCHEMA, write_page_checksum=True) as writer:
        for _, rows in _rows(pairs, seed):
            writer.write_table(rows)


def synthetic_shards(folder: Path, pairs: int, seed: int, shards: int) -> None:
    """Write the same records as finished shards, which `merge` takes, into FOLDER/1, FOLDER/2, and so on."""
    from adasise_bench.data.selection import shard_of
    from adasise_bench.records.record import SCHEMA
    from adasise_bench.run.config_file import load_config

    table1 = Path(__file__).resolve().parents[2] / "configs" / "table1.yaml"
    of_image = np.array([shard_of(f"n{number:08}", shards) for number in range(-(-pairs // 2))])
    first = folder / "1" / "pictures.sha256"
    first.parent.mkdir(parents=True)
    with first.open("w") as file:
        for number in range(len(of_image)):
            file.write(f"{hashlib.sha256(str(number).encode()).hexdigest()}  n{number:08}\n")
    writers = {}
    for shard in range(1, shards + 1):
        own = folder / str(shard)
        own.mkdir(exist_ok=True)
        settings = ["data.root=none", f"methods=[{','.join(LABELS)}]", f"shard={shard}/{shards}"]
        config = load_config(table1, settings, models=["resnet50"])
        (own / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        images = np.flatnonzero(of_image == shard)
        facts = _facts(pairs)
        own_pairs = 2 * len(images) - int(pairs % 2 and images[-1] == len(of_image) - 1)
        facts["data"] |= {"images": len(images), "pairs": own_pairs}
        (own / "environment.json").write_text(json.dumps(facts))
        if own != first.parent:
            (own / first.name).hardlink_to(first)
        writers[shard] = pq.ParquetWriter(own / "records.parquet", SCHEMA, write_page_checksum=True)
    for image, rows in _rows(pairs, seed):
        for shard, writer in writers.items():
            writer.write_table(rows.filter(pa.array(of_image[image] == shard)))
    for writer in writers.values():
        writer.close()


def _facts(pairs: int) -> dict[str, Any]:
    """The environment of a run."""
    return {
        "tool": {"version": "0", "commit": None}, "torch": "2.8.0", "device": "cpu",
        "device_name": "Some CPU", "precision": "fp32", "methods": {label: {} for label in LABELS},
        "definitions": {},
        "identity": {"methods": {label: {"name": label} for label in LABELS}, "score": "softmax"},
        "models": {"resnet50": {"weights_sha256": "a" * 64, "weights_file": "some.pth", "published": False,
                                "maps_available": BLOCKS,
                                "engine": {"layout": "contiguous", "batch_size": 16, "backend": "torch"}}},
        "data": {"name": "synthetic", "images": -(-pairs // 2), "pairs": pairs, "embedded": False,
                 "full_images": None, "full_pairs": None, "fingerprint": "b" * 64},
    }  # fmt: skip


def _rows(pairs: int, seed: int) -> Iterator[tuple[NDArray[np.int64], pa.Table]]:
    """Records, some at a time, with the number of each one's image."""
    from adasise_bench.records.record import SCHEMA

    rng = np.random.default_rng(seed)
    level = np.random.default_rng(1).beta(2, 2, -(-pairs // 2))  # of an image, so that its pairs are alike
    classes = np.array([f"class{number:02}" for number in range(20)])
    for label in LABELS:
        for first in range(0, pairs, ROWS_AT_ONCE):
            number = np.arange(first, min(first + ROWS_AT_ONCE, pairs))
            count, image = len(number), number // 2
            failed = rng.random(count) < 1e-4
            spread: dict[str, Any] = {
                name: (0.7 * level[image] + 0.3 * rng.random(count)) * 100
                for name in ("ebpg", "bbox", "drop", "miou")
            }
            rises = rng.random(count) < 0.3
            spread["drop"] = np.where(rises, 0.0, spread["drop"])
            spread |= {
                "increase": 100.0 * rises, "pointing": 100.0 * (rng.random(count) < 0.8),
                "score": rng.random(count), "box_share": 100 * level[image],
                "seconds": rng.gamma(4.0, 0.05, count), "seconds_plain_forward": np.full(count, 0.002),
            }  # fmt: skip
            kept = rng.integers(1, 60, (count, 5), dtype=np.int64)
            maps = pa.ListArray.from_arrays(np.arange(0, 5 * count + 1, 5, dtype=np.int32), kept.ravel())
            columns = {
                "model": pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), ["resnet50"]),
                "method": pa.DictionaryArray.from_arrays(np.zeros(count, np.int8), [label]),
                "image_id": pa.array(np.char.mod("n%08d", image)),
                "class_name": pa.array(classes[(7 * image + number) % 20]),
                **{name: pa.array(values, mask=failed) for name, values in spread.items()},
                "maps_kept": maps, "maps_positive": maps,
                "degenerate": pa.array(np.zeros(count, bool), mask=failed),
                "forwards": pa.array(np.full(count, 4000), mask=failed),
                "error": pa.array(np.full(count, "out of memory"), mask=~failed),
            }  # fmt: skip
            missing = {
                name: pa.nulls(count, SCHEMA.field(name).type) for name in SCHEMA.names if name not in columns
            }
            yield image, pa.table({name: (columns | missing)[name] for name in SCHEMA.names}).cast(SCHEMA)
