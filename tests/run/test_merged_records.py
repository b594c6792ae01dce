"""The records of shards in the order of the whole run, against a store to which all are appended."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adasise_bench.data.names import Names
from adasise_bench.data.selection import shard_of
from adasise_bench.records import finished_file, reading
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT
from adasise_bench.records.planned_keys import PlannedKeys
from adasise_bench.records.record import SCHEMA, Record
from adasise_bench.records.store import RecordStore
from adasise_bench.run.merged_records import MergedOrder, read_keys

MODELS, METHODS = ["vgg16", "resnet50"], ["sise", "mine", "ada_sise"]
IMAGES = [f"{number:03}" for number in range(40)]
PLANNED_IMAGES = IMAGES[:30]
SHARDS = 3


def rows_of(shard: int, rng: np.random.Generator, others: bool) -> list[dict[str, Any]]:
    """All records of a shard in their order, and some of models, methods and images beyond the plan."""
    models = [*MODELS, "other"] if others else MODELS
    methods = [*METHODS, "unknown"] if others else METHODS
    images = IMAGES if others else PLANNED_IMAGES
    keys = [
        (model, method, image_id, name)
        for model in models
        for method in methods
        for image_id in images
        if shard_of(image_id, SHARDS) == shard
        for name in ("dog", None, "cat")[: 1 + int(image_id) % 3]
    ]
    found = []
    for key in keys:
        row: dict[str, Any] = dict(zip(("model", "method", "image_id", "class_name"), key, strict=True))
        if rng.random() < 0.3:
            found.append(row | {"error": "torn"})
        else:
            found.append(row | {"ebpg": rng.random(), "maps_kept": [1, 2], "degenerate": False})
    return found


def as_they_are(rows: list[Any], _rng: np.random.Generator) -> list[Any]:
    return rows


def shuffled(rows: list[Any], rng: np.random.Generator) -> list[Any]:
    return [rows[place] for place in rng.permutation(len(rows))]


def with_others_twice(rows: list[Any], rng: np.random.Generator) -> list[Any]:
    planned = [row for row in rows if is_planned(row)]
    others = [row for row in rows if not is_planned(row)]
    again = [row | {"ebpg": 1.0, "error": None} for row in others[::3]]
    return shuffled([*planned, *others, *again, *others[::5]], rng)


def is_planned(row: dict[str, Any]) -> bool:
    return row["model"] in MODELS and row["method"] in METHODS and row["image_id"] in PLANNED_IMAGES


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("arrange", [as_they_are, shuffled, with_others_twice])
def test_both_files_have_the_bytes_that_a_store_gives_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arrange: Callable[..., Any], parts: int
) -> None:
    monkeypatch.setattr(finished_file, "ROWS_PER_GROUP", 50)
    monkeypatch.setattr("adasise_bench.run.merged_records.ROWS_PER_GROUP", 50)
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 7)
    rng = np.random.default_rng(parts)
    classes: dict[str, list[str | None]] = {image_id: [] for image_id in PLANNED_IMAGES}
    records, paths = [], []
    for shard in range(1, SHARDS + 1):
        rows = arrange(rows_of(shard, rng, arrange is not as_they_are), rng)
        paths.append(written(tmp_path / f"shard{shard}", rows, parts))
        records += [Record(**row) for row in rows]
    for record in records:
        own = classes.get(record.image_id, [record.class_name])
        if record.class_name not in own:
            own.append(record.class_name)

    names = Names(PLANNED_IMAGES)
    keys = [read_keys(path, names, MODELS, METHODS) for path in paths]
    order = MergedOrder(keys, len(names), len(MODELS) * len(METHODS))
    order.write_lines(tmp_path / IN_FLIGHT)
    order.write_finished(tmp_path / FINISHED)

    planned = PlannedKeys(MODELS, METHODS, PLANNED_IMAGES, classes.__getitem__)
    (tmp_path / "whole").mkdir()
    store = RecordStore(tmp_path / "whole", planned)
    store.append(records)
    store.finish()
    store.close()
    assert order.planned == len(planned)
    assert (tmp_path / IN_FLIGHT).read_bytes() == (tmp_path / "whole" / IN_FLIGHT).read_bytes()
    assert pq.read_table(tmp_path / FINISHED).equals(pq.read_table(tmp_path / "whole" / FINISHED))
    assert (tmp_path / FINISHED).read_bytes() == (tmp_path / "whole" / FINISHED).read_bytes()


def written(folder: Path, rows: list[dict[str, Any]], parts: int) -> Path:
    """A finished file in groups of 20 rows, or a folder of several such files."""
    folder.mkdir()
    table, path = pa.Table.from_pylist(rows, schema=SCHEMA), folder / FINISHED
    if parts == 1:
        pq.write_table(table, path, row_group_size=20)
        return path
    path.mkdir()
    size = -(-len(table) // parts)
    for part in range(parts):
        pq.write_table(table.slice(part * size, size), path / f"{part}.parquet", row_group_size=20)
    return path
