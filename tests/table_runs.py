"""Run folders for the tests of tables, as files that `load_run` reads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from adasise_bench.records.record import Record
from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import Row, Table, Tables, build_tables

CONFIG: dict[str, Any] = {
    "name": "small",
    "data": {"root": "data", "input_size": 224, "resize": "stretch"},
    "models": {"resnet50": {"blocks": "pool-input"}, "vgg16": {"blocks": "pool-input"}},
    "methods": [
        {"name": "ada_sise", "label": "ada_sise", "selector": "printed"},
        {"name": "sise", "label": "sise"},
        {"name": "sise", "label": "mine"},
    ],
    "score": "softmax",
}


def _weights(maps: list[int]) -> dict[str, Any]:
    return {
        "weights_sha256": "9ca920d6" * 8,
        "weights_file": "some.pth.tar",
        "published": True,
        "maps_available": maps,
    }


ENVIRONMENT: dict[str, Any] = {
    "tool": {"version": "0.1.0", "commit": "abc123"},
    "torch": "2.8.0",
    "device": "cpu",
    "device_name": "Some CPU",
    "precision": "fp32",
    "definitions": {"ebpg": "ebpg-box-union-v1"},
    "methods": {"ada_sise": {}, "sise": {}, "mine": {}},
    "models": {
        "resnet50": _weights([64, 256, 512, 1024, 2048]),
        "vgg16": _weights([64, 128, 256, 512, 512]),
    },
    "data": {
        "name": "VOC 2007 test",
        "images": 2,
        "pairs": 3,
        "embedded": False,
        "full_images": 2,
        "full_pairs": 3,
    },
}


def record(
    method: str, image: str, class_name: str | None = "dog", model: str = "resnet50", **values: Any
) -> Record:
    return Record(model, method, image, class_name, **values)


Folder = Callable[..., Path]


def build(*folders: Path, **options: Any) -> Tables:
    return build_tables([load_run(path) for path in folders], **options)


def row(table: Table, title: str) -> Row:
    return next(row for row in table.rows if row.title == title)


def with_methods(*labels: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        config["methods"] = [{"name": label, "label": label} for label in labels]
        environment["methods"] = {label: {} for label in labels}

    return change


def many(values: dict[str, Callable[[int], float]]) -> list[Record]:
    """Twelve images, every third with two classes; boxes from 5 % to 27 % of the input."""
    return [
        record(method, f"{image:02}", name, ebpg=value(image), box_share=5.0 + 2 * image)
        for method, value in values.items()
        for image in range(12)
        for name in ("dog", "cat")[: 1 + (image % 3 == 0)]
    ]


CLASSES = ["cat", "dog", "cow", "sheep", "horse", "bus", "car"]


WHOLE = [
    ("1", [0.7, 0.1, 0.05, 0.05, 0.04, 0.03, 0.03], [0], []),
    ("2", [0.1, 0.6, 0.1, 0.1, 0.05, 0.03, 0.02], [0, 1], [1]),
    ("3", [0.4, 0.3, 0.1, 0.1, 0.05, 0.04, 0.01], [6], []),
]
"""Picture, scores, classes annotated, and those of them that are difficult."""


def with_classes(_: dict[str, Any], environment: dict[str, Any]) -> None:
    environment["data"]["classes"] = CLASSES


def classified(method: str, *, whole: bool) -> list[Record]:
    return [
        record(
            method,
            image,
            CLASSES[number],
            drop=10.0 * place,
            rank=place,
            **(
                {"class_scores": scores, "classes_annotated": annotated, "classes_difficult": difficult}
                if whole and number == annotated[0]
                else {}
            ),
        )
        for image, scores, annotated, difficult in WHOLE
        for number in annotated
        for place in [1 + sum(other > scores[number] for other in scores)]
    ]
