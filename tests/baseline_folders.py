"""Run folders of which the tests of the gate make baselines, and its commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from click.testing import CliRunner, Result

from adasise_bench.cli import main
from adasise_bench.records.record import Key, Record
from adasise_bench.records.store import RecordStore
from adasise_bench.regression.values import VALUES, Values

SISE, ADA_SISE = ({"name": name, "mu": 0.0} for name in ("sise", "ada_sise"))
IDENTITY = {"score": "softmax", "seed": 0, "share_forwards": False, "timing": {"warmup": 0},
            "methods": {"sise": SISE, "ada_sise": ADA_SISE}}  # fmt: skip


def record(method: str, image_id: str, class_name: str | None = "dog", **changes: Any) -> Record:
    values: dict[str, Any] = {
        "ebpg": 100 / 3, "bbox": 50.0, "drop": 0.0, "increase": 100.0, "miou": 25.0, "score": 0.5,
        "seconds": 1.23456, "seconds_plain_forward": 0.0123456, "forwards": 9, "maps_kept": [3, 5],
        "degenerate": False,
    }  # fmt: skip
    return Record(*Key("resnet50", method, image_id, class_name), **(values | changes))


RECORDS = [
    record("sise", "2"),
    record("sise", "1"),
    record("ada_sise", "1", seconds=None, seconds_plain_forward=None),
    Record(*Key("resnet50", "ada_sise", "2", None), error='2.xml: "torn" Ä'),
]


def run_folder(folder: Path, records: list[Record] = RECORDS, **facts: Any) -> Path:
    folder.mkdir()
    store = RecordStore(folder)
    store.append(records)
    store.close()
    config = {"name": "mine", "methods": [{"name": "sise", "label": "sise"}], "models": {"resnet50": {}},
              "data": {"input_size": 224, "resize": "stretch"}, "score": "softmax"}  # fmt: skip
    weights = {"weights_sha256": "aa", "weights_file": "x", "published": False, "maps_available": [4, 8]}
    data = {"name": "VOC", "images": 2, "pairs": 2, "embedded": False, "full_images": 2, "full_pairs": 2,
            "fingerprint": "ff"}  # fmt: skip
    environment = {"tool": {"version": "1", "commit": None}, "torch": "2", "device": "cpu",
                   "device_name": "chip", "precision": "fp32", "models": {"resnet50": weights}, "methods": {},
                   "data": data, "definitions": {"ebpg": "v1"}, "identity": IDENTITY} | facts  # fmt: skip
    (folder / "config.yaml").write_text(json.dumps(config))
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def all_of(values: Values) -> pd.DataFrame:
    """All values in memory, with their keys as categories."""
    keys = {
        name: pd.Categorical.from_codes(codes, values.names[name].to_pylist())
        for name, codes in values.codes.items()
    }
    return pd.DataFrame(keys | {name: values.column(name) for name in VALUES})
