"""Runs that take a second: a tiny network with the 20 VOC classes, and few pictures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import TinyVGG, make_classifier
from torch import nn

from adasise_bench.data.voc import VOC_CLASSES
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate

COMPARED = ["ebpg", "bbox", "drop", "increase", "miou", "score", "box_share", "forwards", "backwards",
            "degenerate", "error"]  # fmt: skip
"""Columns of a record that two runs of one configuration share."""


class TwentyClasses(TinyVGG):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(10, 20)


def twenty_classes(name: str = "resnet50") -> Classifier:
    torch.manual_seed(1)
    blocks = ("features.1", "features.4", "features.7")
    return make_classifier(TwentyClasses(), blocks, VOC_CLASSES, name=name)


def settings(root: Path, **changes: Any) -> RunConfig:
    tree = {
        "data": {"root": str(root), "input_size": 32},
        "models": {"resnet50": {}},
        "methods": ["sise", "ada_sise"],
        "engine": {"layout": "contiguous", "batch_size": 16},
        "device": "cpu",
        "save_maps": True,
    }
    return validate(tree | changes, "test")


def tiny_network(monkeypatch: pytest.MonkeyPatch, **changes: Any) -> None:
    monkeypatch.setattr(
        network, "load_classifier", lambda name, **_settings: replace(twenty_classes(name), **changes)
    )


def assert_same(folder: Path, whole: Path) -> None:
    """All records but for run-times, all maps to the byte, and no file that is not in both."""
    one, other = (
        read_records(path).pipe(lambda f: f[[c for c in f if not c.startswith("seconds")]])
        for path in (folder, whole)
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    for path in whole.rglob("*.npy"):
        assert path.read_bytes() == (folder / path.relative_to(whole)).read_bytes()
    names = [sorted(str(path.relative_to(base)) for path in base.rglob("*")) for base in (folder, whole)]
    assert names[0] == names[1]


def values(folder: Path) -> pd.DataFrame:
    records = read_records(folder)
    keys = ["model", "method", "image_id", "class_name"]
    kept = records["maps_kept"].map(lambda maps: None if maps is None else list(maps))
    return records[keys + COMPARED].assign(maps_kept=kept).sort_values(keys).reset_index(drop=True)
