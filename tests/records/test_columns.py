"""Columns of several runs against the data frame of all their records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from joined_frames import combine

from adasise_bench.records.columns import NetworkRecords, join
from adasise_bench.records.record import SCHEMA
from adasise_bench.records.run import Run

FLOATS = ("ebpg", "score", "seconds", "peak_memory_mb", "chance_pixel_ebpg")


def random_run(seed: int, folder: str, device: str) -> Run:
    """Some of the records that there could be, in any order, some twice, in several groups of rows."""
    rng = np.random.default_rng(seed)
    keys = [
        (model, method, f"{image:03}", name)
        for model in ("vgg16", "resnet50")
        for method in ("sise", "mine", "ada_sise")
        for image in range(12)
        for name in ("dog", None, "cat")[: 1 + image % 3]
    ]
    chosen = rng.choice(len(keys), 80)
    rows: list[dict[str, Any]] = []
    for place in chosen:
        key = dict(zip(("model", "method", "image_id", "class_name"), keys[place], strict=True))
        if rng.random() < 0.2:
            rows.append({**key, "error": f"error {rng.integers(3)}"})
            continue
        values = {name: float(rng.random()) for name in FLOATS if rng.random() < 0.7}
        counts = rng.integers(0, 9, 5).tolist()
        rows.append({**key, "degenerate": bool(rng.random() < 0.5), "maps_kept": counts, **values})
    table = pa.Table.from_pylist(rows, schema=SCHEMA)
    environment = {"device_name": device, "precision": "fp32", "models": {}, "data": {}}

    def read(columns: Any) -> Any:
        return (
            table.slice(start, 17).select(columns or table.column_names) for start in range(0, len(table), 17)
        )

    return Run(Path(folder), {"data": {}, "rules": "protocol"}, environment, read)


def laid_out(records: pd.DataFrame, network: NetworkRecords, values: pd.Series[float]) -> np.ndarray:
    """The values of a data frame as a network's (pairs, methods)."""
    found = np.full((len(network.pairs), len(network.methods)), np.nan)
    for (_, record), value in zip(records.iterrows(), values, strict=True):
        pair = (record["image_id"], record["class_name"])
        (row,) = [
            number
            for number, (image, name) in enumerate(network.pairs)
            if image == pair[0] and (name == pair[1] or (pd.isna(name) and pd.isna(pair[1])))
        ]
        found[row, network.methods.index(record["method"])] = value
    return found


@pytest.mark.parametrize("seed", range(6))
def test_columns_are_those_of_the_joined_frame(seed: int) -> None:
    runs = [random_run(seed, "one", "A"), random_run(seed + 100, "two", "B")]
    whole, networks = combine(runs), join(runs)
    assert list(networks) == whole["model"].unique().tolist()
    for model, network in networks.items():
        records = whole[whole["model"] == model]
        assert network.methods == records["method"].unique().tolist()
        assert network.present.sum() == len(records)
        for name in (*FLOATS, "degenerate", "ebpg"):
            expected = laid_out(records, network, records[name].astype(float))
            np.testing.assert_array_equal(network.values(name), expected)
        for block in range(5):
            counts = records["maps_kept"].map(lambda maps, block=block: maps[block], na_action="ignore")
            expected = laid_out(records, network, counts.astype(float))
            np.testing.assert_array_equal(network.values("maps_kept", block), expected)
        codes, texts = network.errors()
        numbers = records["error"].map(lambda text, texts=texts: texts.index(text), na_action="ignore")
        expected = laid_out(records, network, numbers.astype(float))
        np.testing.assert_array_equal(np.where(codes < 0, np.nan, codes), expected)
        for method, device in zip(network.methods, network.devices, strict=True):
            timed = records[records["method"] == method]["timed_on"].dropna().unique().tolist()
            assert timed == ([] if device is None else [device])


def test_pairs_stand_in_the_order_of_their_names() -> None:
    networks = join([random_run(1, "one", "A")])
    for network in networks.values():
        names = [(image, "" if pd.isna(name) else name) for image, name in network.pairs]
        assert names == sorted(names)
        assert network.named.tolist() == [name != "" for _, name in names]
        assert network.images(network.named) == len({image for image, name in names if name})
