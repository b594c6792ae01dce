"""The index says what the records say."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from adasise_bench.records.columns import join
from adasise_bench.records.reading import in_memory
from adasise_bench.records.record import SCHEMA, Record
from adasise_bench.records.run import Run
from adasise_bench.reporting.report.index import Pair, Places, build_index, index_json


def run_of(*records: Record, device: str = "a card") -> Run:
    table = pa.Table.from_pylist([asdict(record) for record in records], schema=SCHEMA)
    environment = {"device_name": device, "precision": "fp32", "models": {}, "data": {}}
    return Run(Path("run"), {"data": {}, "rules": "protocol"}, environment, in_memory(table))


def places_of(*runs: Run) -> Places:
    networks = join(runs)
    return Places.of([networks["vgg16"], networks["resnet50"]], ["VOC", "VOC"])


RECORDS = (
    Record("resnet50", "sise", "2", "dog", ebpg=10.0, seconds=0.25, score=0.5, box_share=20.0,
           degenerate=False),
    Record("resnet50", "sise", "1", "cat", ebpg=11.0, score=0.75, box_share=30.0, degenerate=True),
    Record("vgg16", "sise", "2", "dog", ebpg=12.0, score=0.25, degenerate=False),
    Record("resnet50", "mine", "1", "cat", error="out of memory"),
    Record("resnet50", "mine", "3", None, error="no annotation"),
)  # fmt: skip


def test_every_value_stands_at_its_pair_and_method() -> None:
    index = build_index(places_of(run_of(*RECORDS)), ["mine", "sise"])
    assert index.pairs == [
        Pair("vgg16", "2", "dog"),
        Pair("resnet50", "2", "dog"),
        Pair("resnet50", "1", "cat"),
        Pair("resnet50", "3", None),
    ]
    ebpg, seconds = index.metrics.index("ebpg"), index.metrics.index("seconds")
    mine, sise = index.values
    assert sise[ebpg] == [12.0, 10.0, 11.0, None]
    assert sise[seconds] == [None, 0.25, None, None]
    assert mine[ebpg] == [None] * 4
    assert index.score == [0.25, 0.5, 0.75, None]
    assert index.box_share == [None, 20.0, 30.0, None]
    assert index.degenerate == [[None] * 4, [False, False, True, None]]
    assert index.errors == [{2: "out of memory", 3: "no annotation"}, {}]


def test_names_are_stored_once_and_found_by_number() -> None:
    index = build_index(places_of(run_of(*RECORDS)), ["mine", "sise"])
    tree = index_json(index, ["2", "1", "3"], [0, 0, 1, 2])
    assert [tree["models"][number] for number in tree["model"]] == ["VGG16", *["ResNet-50"] * 3]
    assert [tree["pictures"][number] for number in tree["picture"]] == ["2", "2", "1", "3"]
    assert tree["classes"] == ["cat", "dog"]
    assert tree["className"] == [1, 1, 0, -1]
    assert tree["methods"] == ["mine", "SISE"]
    assert tree["score"] == [0.25, 0.5, 0.75, None]
    assert tree["scoreText"] == ["0.2500", "0.5000", "0.7500", None]
    assert tree["metrics"][0] == {
        "title": "EBPG, %",
        "direction": "up",
        "unit": "percent",
        "comparable": True,
    }


def test_run_times_of_two_machines_are_not_compared() -> None:
    def comparable(*runs: Run) -> dict[str, bool]:
        metrics = index_json(build_index(places_of(*runs), ["mine", "sise"]), [], [0] * 4)["metrics"]
        return {metric["unit"]: metric["comparable"] for metric in metrics}

    assert comparable(run_of(*RECORDS)) == {"percent": True, "seconds": True}
    other = run_of(replace(RECORDS[2], seconds=0.5), device="a CPU")
    assert comparable(run_of(*RECORDS), other) == {"percent": True, "seconds": False}


def test_pictures_are_numbered_in_their_order_and_equal_ids_of_two_data_sets_apart() -> None:
    places = places_of(run_of(*RECORDS))
    assert places.pictures.tolist() == [0, 0, 1, 2]
    assert places.of_pictures(np.array([1, 2])).pictures.tolist() == [0, 1]
    assert [pair.image_id for pair in places.of_pictures(np.array([0, 2])).pairs()] == ["2", "2", "3"]
    networks = join([run_of(*RECORDS)])
    apart = Places.of([networks["vgg16"], networks["resnet50"]], ["VOC", "COCO"])
    assert apart.pictures.tolist() == [0, 1, 2, 3]
