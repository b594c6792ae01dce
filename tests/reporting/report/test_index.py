"""The index says what the records say."""

from __future__ import annotations

import pandas as pd

from adasise_bench.records.record import Record
from adasise_bench.reporting.report.index import Pair, build_index, index_json


def frame(*records: Record) -> pd.DataFrame:
    return pd.DataFrame(records).assign(timed_on="a card, fp32")


RECORDS = frame(
    Record("resnet50", "sise", "2", "dog", ebpg=10.0, seconds=0.25, score=0.5, box_share=20.0,
           degenerate=False),
    Record("resnet50", "sise", "1", "cat", ebpg=11.0, score=0.75, box_share=30.0, degenerate=True),
    Record("vgg16", "sise", "2", "dog", ebpg=12.0, score=0.25, degenerate=False),
    Record("resnet50", "mine", "1", "cat", error="out of memory"),
    Record("resnet50", "mine", "3", None, error="no annotation"),
)  # fmt: skip


def test_every_value_stands_at_its_pair_and_method() -> None:
    index = build_index(RECORDS, ["vgg16", "resnet50"], ["mine", "sise"])
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
    index = build_index(RECORDS, ["vgg16", "resnet50"], ["mine", "sise"])
    tree = index_json(index, [("VOC", "2"), ("VOC", "1"), ("VOC", "3")], [0, 0, 1, 2])
    assert [tree["models"][number] for number in tree["model"]] == ["VGG16", *["ResNet-50"] * 3]
    assert [tree["pictures"][number] for number in tree["picture"]] == ["2", "2", "1", "3"]
    assert tree["classes"] == ["cat", "dog"]
    assert tree["className"] == [1, 1, 0, -1]
    assert tree["methods"] == ["mine", "SISE"]
    assert tree["metrics"][0] == {
        "title": "EBPG, %",
        "direction": "up",
        "unit": "percent",
        "comparable": True,
    }


def test_run_times_of_two_machines_are_not_compared() -> None:
    def comparable(records: pd.DataFrame) -> dict[str, bool]:
        metrics = index_json(build_index(records, ["vgg16", "resnet50"], ["mine", "sise"]), [], [0] * 4)[
            "metrics"
        ]
        return {metric["unit"]: metric["comparable"] for metric in metrics}

    assert comparable(RECORDS) == {"percent": True, "seconds": True}
    other = RECORDS.assign(timed_on=["a card, fp32", None, "a CPU, fp32", None, None])
    assert comparable(other) == {"percent": True, "seconds": False}
