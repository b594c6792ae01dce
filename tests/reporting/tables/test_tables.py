import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from adasise_bench.records.joining import combine
from adasise_bench.records.record import SCHEMA, Record
from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import Cell, Row, Table, Tables, build_tables, number
from adasise_bench.utils.errors import ConfigError, DataError

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


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Writes a finished run folder; ``change`` edits its configuration and environment."""

    def write(
        records: Sequence[Record],
        name: str = "run",
        change: Callable[[dict[str, Any], dict[str, Any]], object] = lambda config, environment: None,
    ) -> Path:
        config, environment = copy.deepcopy(CONFIG), copy.deepcopy(ENVIRONMENT)
        change(config, environment)
        path = tmp_path / name
        path.mkdir()
        (path / "config.yaml").write_text(yaml.safe_dump(config))
        (path / "environment.json").write_text(json.dumps(environment))
        table = pa.Table.from_pylist([asdict(entry) for entry in records], schema=SCHEMA)
        pq.write_table(table, path / "records.parquet")
        return path

    return write


def build(*folders: Path, **options: Any) -> Tables:
    return build_tables([load_run(path) for path in folders], **options)


def row(table: Table, title: str) -> Row:
    return next(row for row in table.rows if row.title == title)


def test_means_rest_on_the_values_that_are_there(folder: Folder) -> None:
    records = [
        record("sise", "1", ebpg=40.0, seconds=2.0, degenerate=False),
        record("sise", "1", "cat", ebpg=70.0, degenerate=True),
        record("sise", "2", error="out of memory"),
        record("sise", "3", None, error="unreadable annotation"),
    ]
    (table,) = build(folder(records)).tables
    assert row(table, "EBPG, %").cells == (Cell("sise", "ebpg", 55.0, n=2, of=3, published=66.08, images=1),)
    assert row(table, "Run-time, s").cells == (
        Cell("sise", "seconds", 2.0, n=1, of=3, published=9.21, images=1),
    )
    assert row(table, "Bbox, %").cells == (Cell("sise", "bbox", None, n=0, of=3, published=61.59, images=0),)
    assert row(table, "mIoU, %").cells[0].published == 31.37
    assert row(table, "Pairs").cells[0].measured == 3
    assert row(table, "Images").cells[0].measured == 2
    assert row(table, "Degenerate maps").cells == (Cell("sise", "degenerate", 1, n=2, of=3),)
    assert row(table, "Errors").cells == (Cell("sise", "errors", 2, n=4, of=4),)


def test_best_follows_direction_and_marks_ties_as_printed(folder: Folder) -> None:
    records = [
        record("sise", "1", ebpg=50.001, drop=10.0),
        record("ada_sise", "1", ebpg=50.004, drop=20.0),
        record("mine", "1", ebpg=49.9, bbox=1.0),
    ]
    (table,) = build(folder(records)).tables
    assert table.columns == ("sise", "ada_sise", "mine")
    assert [cell.best for cell in row(table, "EBPG, %").cells] == [True, True, False]
    assert [cell.best for cell in row(table, "Drop, %").cells] == [True, False, False]
    assert not any(cell.best for cell in row(table, "Bbox, %").cells)


def test_best_is_marked_only_where_all_rest_on_the_same_pairs(folder: Folder) -> None:
    values = {"sise": 2.0, "mine": 1.0}
    records = [record(method, image, bbox=value) for method, value in values.items() for image in "12"]
    records += [record("sise", "3", ebpg=50.0), record("mine", "4", ebpg=60.0)]
    records.append(record("ada_sise", "1", error="gone"))
    built = build(folder(records))
    assert [cell.best for cell in row(built.tables[0], "Bbox, %").cells] == [True, False, False]
    assert not any(cell.best for cell in row(built.tables[0], "EBPG, %").cells)
    (note,) = [note for note in built.notes if "no best value" in note]
    assert "marked in EBPG, %, because the methods were measured on different pairs" in note


def test_run_times_of_different_machines_are_not_compared(folder: Folder) -> None:
    def on_gpu(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["device_name"] = "Tesla T4"

    here = folder([record("sise", image, seconds=2.0, ebpg=1.0) for image in "12"], "here")
    there = folder([record("mine", image, seconds=1.0, ebpg=2.0) for image in "12"], "there", on_gpu)
    built = build(here, there, against="sise")
    table, differences = built.tables
    assert not any(cell.best for cell in row(table, "Run-time, s").cells)
    assert row(differences, "EBPG, %").cells[0].measured == 1.0
    assert row(differences, "Run-time, s").cells[0].measured is None
    measured = "Run-time was measured on Some CPU, fp32 (2 pairs); Tesla T4, fp32 (2 pairs)"
    assert any(note.startswith(measured) for note in built.notes)


def _many(values: dict[str, Callable[[int], float]]) -> list[Record]:
    """Twelve images, every third with two classes; boxes from 5 % to 27 % of the input."""
    return [
        record(method, f"{image:02}", name, ebpg=value(image), box_share=5.0 + 2 * image)
        for method, value in values.items()
        for image in range(12)
        for name in ("dog", "cat")[: 1 + (image % 3 == 0)]
    ]


def test_table1_and_table2_carry_intervals(folder: Folder) -> None:
    records = _many({"sise": lambda image: 10.0 + image})
    records += [record("ada_sise", f"{image:02}", maps_kept=[image, 2, 3, 4, 5]) for image in range(12)]
    table, maps = build(folder(records)).tables
    cell = row(table, "EBPG, %").cells[0]
    assert cell.measured is not None
    assert cell.low is not None
    assert cell.high is not None
    assert 10 < cell.low < cell.measured < cell.high < 21
    assert (cell.n, cell.images) == (16, 12)
    varying, fixed = maps.rows[1].cells[:2]
    assert varying.low is not None
    assert fixed.low is fixed.high is None


def test_differences_are_paired(folder: Folder) -> None:
    records = _many({"sise": lambda image: 8.0 * image, "ada_sise": lambda image: 9.0 * image + 1})
    records = [one for one in records if (one.method, one.image_id) != ("sise", "05")]
    records.append(record("mine", "77", ebpg=1.0))
    built = build(folder(records), against="sise")
    (differences,) = [table for table in built.tables if table.name == "differences"]
    assert differences.columns == ("ada_sise", "mine")
    ours, apart = row(differences, "EBPG, %").cells
    images = [image for image in range(12) if image != 5 for _ in range(1 + (image % 3 == 0))]
    assert ours.measured == pytest.approx(sum(image + 1 for image in images) / len(images))
    assert ours.excludes_zero
    assert (ours.against, ours.n, ours.images) == ("sise", 15, 11)
    assert ours.published == pytest.approx(66.4 - 66.08)
    assert (apart.measured, apart.n, apart.excludes_zero) == (None, 0, None)
    assert [cell.measured for cell in row(differences, "Pairs").cells] == [15, 0]
    assert any("not adjusted for the number of comparisons" in note for note in built.notes)


@pytest.mark.parametrize(
    ("low", "high", "against", "expected"),
    [
        (0.1, 0.2, "sise", True),
        (-0.2, -0.1, "sise", True),
        (-0.1, 0.1, "sise", False),
        (0.0, 0.1, "sise", False),
        (None, None, "sise", None),
        (0.1, 0.2, None, None),
    ],
)
def test_only_differences_exclude_zero(
    low: float | None, high: float | None, against: str | None, expected: bool | None
) -> None:
    assert Cell("m", "ebpg", 0.1, 9, 9, low=low, high=high, against=against).excludes_zero is expected


def test_unknown_names_are_corrected(folder: Folder) -> None:
    path = folder([record("sise", "1", ebpg=1.0), record("mine", "1", ebpg=1.0)])
    with pytest.raises(ConfigError, match=r"no method 'sies'.*did you mean 'sise'"):
        build(path, against="sies")
    with pytest.raises(ConfigError, match=r"no metric 'ebgp'.*did you mean 'ebpg'"):
        build(path, metrics=["ebgp"])
    alone = folder([record("sise", "1", ebpg=1.0)], "alone")
    with pytest.raises(ConfigError, match="nothing to compare 'sise' with"):
        build(alone, against="sise")


def test_metrics_choose_and_order_the_rows(folder: Folder) -> None:
    records = [
        record("sise", str(image), seconds=float(image), forwards=image, peak_memory_mb=100.5)
        for image in range(11)
    ]
    metrics = ["seconds_p90", "seconds_median", "forwards", "peak_memory"]
    (table,) = build(folder(records), metrics=metrics).tables
    assert [entry.cells[0].metric for entry in table.rows[:4]] == metrics
    assert [entry.cells[0].measured for entry in table.rows[:4]] == [9.0, 5.0, 5.0, 100.5]
    assert table.rows[4].title == "Boxes' area share, %"
    assert table.rows[0].cells[0].low is None
    assert table.rows[2].cells[0].low is not None


def test_groups_by_class_and_size_hold_every_pair_once(folder: Folder) -> None:
    path = folder(_many({"sise": float, "mine": lambda image: 2.0 * image}))
    (classes,) = build(path, by="class", metrics=["ebpg"]).tables
    assert (classes.name, classes.columns) == ("by_class", ("sise", "mine"))
    assert [entry.title for entry in classes.rows] == ["cat (4 pairs)", "dog (12 pairs)", "all (16 pairs)"]
    assert [entry.cells[0].measured for entry in classes.rows] == [4.5, 5.5, 5.25]
    assert [entry.cells[0].group for entry in classes.rows] == ["cat", "dog", None]
    sizes, differences = build(path, by="size", metrics=["ebpg"], against="sise").tables
    assert [entry.title for entry in sizes.rows] == [
        "small (2 pairs)",
        "medium (12 pairs)",
        "large (2 pairs)",
        "all (16 pairs)",
    ]
    assert differences.name == "differences_by_size"
    means = [entry.cells[0].measured for entry in differences.rows]
    assert means == [0.0, pytest.approx(63 / 12), 10.5, 5.25]


@pytest.mark.parametrize(
    ("share", "size"),
    [(6.24, "small"), (6.25, "medium"), (24.9, "medium"), (25.0, "large"), (100.0, "large")],
)
def test_sizes_begin_at_their_bounds(folder: Folder, share: float, size: str) -> None:
    path = folder([record("sise", "1", ebpg=1.0, box_share=share)])
    (table,) = build(path, by="size", metrics=["ebpg"]).tables
    assert [entry.cells[0].group for entry in table.rows if entry.cells[0].n] == [size, None]


@pytest.mark.parametrize(
    ("score", "group"),
    [
        (0.0, "under 0.01"),
        (0.00999, "under 0.01"),
        (0.01, "0.01 to 0.99"),
        (0.99, "0.01 to 0.99"),
        (0.9901, "over 0.99"),
        (1.0, "over 0.99"),
    ],
)
def test_ranges_of_scores_begin_at_their_bounds(folder: Folder, score: float, group: str) -> None:
    path = folder([record("sise", "1", drop=1.0, score=score)])
    (table,) = build(path, by="score", metrics=["drop"]).tables
    assert table.name == "by_score"
    assert [entry.cells[0].group for entry in table.rows if entry.cells[0].n] == [group, None]


def test_metrics_are_split_at_the_ends_of_the_score_and_pairs_there_are_counted_once(folder: Folder) -> None:
    scores = {"1": 0.001, "2": 0.002, "3": 0.5, "4": 0.6, "5": 0.999}
    records = [
        record(method, image, drop=offset + int(image), score=score)
        for method, offset in (("sise", 0), ("mine", 10))
        for image, score in scores.items()
    ]
    records += [record("mine", "6", error="out of memory"), record("sise", "7", None, error="unreadable")]
    built = build(folder(records), by="score", metrics=["drop"])
    (table,) = built.tables
    assert [entry.title for entry in table.rows] == [
        "under 0.01 (2 pairs)",
        "0.01 to 0.99 (2 pairs)",
        "over 0.99 (1 pair)",
        "all (5 pairs)",
    ]
    assert [entry.cells[0].measured for entry in table.rows] == [1.5, 3.5, 5.0, 3.0]
    assert [entry.cells[1].measured for entry in table.rows] == [11.5, 13.5, 15.0, 13.0]
    (note,) = [note for note in built.notes if "under 0.01" in note]
    assert note.startswith(
        "ResNet-50: of 5 pairs, the score of the class is under 0.01 in 2 (40.0 %) "
        "and over 0.99 in 1 (20.0 %)"
    )


def test_raw_outputs_have_no_ends(folder: Folder) -> None:
    def raw(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["score"] = "logit"

    path = folder([record("sise", "1", drop=1.0, score=-7.0)], change=raw)
    assert not any("under 0.01" in note for note in build(path).notes)
    with pytest.raises(
        ConfigError, match=r"^--by score: .*run has raw outputs .* choose class, size or outcome$"
    ):
        build(path, by="score")


def test_published_number_belongs_to_the_papers_method_only(folder: Folder) -> None:
    def relabel(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["methods"] = [{"name": "sise", "label": "ada_sise"}, {"name": "sise", "label": "mine"}]

    records = [record(method, "1", ebpg=1.0) for method in ("ada_sise", "mine")]
    (table,) = build(folder(records, change=relabel)).tables
    assert [cell.published for cell in row(table, "EBPG, %").cells] == [None, None]


def test_box_share_counts_every_pair_once(folder: Folder) -> None:
    records = [record("sise", image, box_share=share) for image, share in (("1", 10.0), ("2", 40.0))]
    records.append(record("ada_sise", "1", box_share=10.0))
    (table,) = build(folder(records)).tables
    cells = row(table, "Boxes' area share, %").cells
    assert [(cell.measured, cell.n, cell.of) for cell in cells] == [(25.0, 2, 2), (10.0, 1, 1)]


def test_table2_averages_maps_per_block(folder: Folder) -> None:
    records = [
        record("sise", "1", maps_kept=[30, 100, 200, 500, 1000], maps_positive=[32, 100, 200, 500, 1000]),
        record("sise", "2", maps_kept=[33, 110, 201, 500, 1000], maps_positive=[32, 120, 202, 500, 1000]),
        record("mine", "2", maps_kept=[1, 2, 3, 4, 5]),
        record("ada_sise", "2", error="boom"),
        record("sise", "1", model="vgg16", maps_kept=[1, 2, 3, 4, 5]),
    ]
    *_, vgg16, resnet50 = build(folder(records)).tables
    available, kept, positive, mine = resnet50.rows
    assert [cell.measured for cell in available.cells] == [64, 256, 512, 1024, 2048]
    assert kept.cells[:2] == (
        Cell("sise", "maps_kept_p1", 31.5, n=2, of=2, published=31, images=2),
        Cell("sise", "maps_kept_p2", 105.0, n=2, of=2, published=130, images=2),
    )
    assert [cell.measured for cell in positive.cells] == [32, 110, 201, 500, 1000]
    assert kept.title == "SISE, kept (2 pairs)"
    assert mine.title == "mine, kept (1 pair)"
    assert [cell.published for cell in positive.cells + mine.cells] == [None] * 10
    assert [cell.published for cell in vgg16.rows[0].cells + vgg16.rows[1].cells] == [None] * 10


def test_table2_shows_live_maps_beside_those_kept(folder: Folder) -> None:
    counts = {"maps_kept": [30, 4, 3, 2, 1], "maps_live": [20, 4, 3, 2, 0], "maps_positive": [31, 5, 4, 3, 2]}
    records = [record("sise", "1", **counts), record("sise", "2", **counts | {"maps_live": [21, 4, 3, 2, 1]})]
    *_, table = build(folder(records)).tables
    titles = ["Available", "SISE, kept", "SISE, kept and live", "SISE, positive"]
    assert [entry.title for entry in table.rows] == titles
    assert [cell.measured for cell in table.rows[2].cells] == [20.5, 4, 3, 2, 0.5]
    assert [cell.published for cell in table.rows[2].cells] == [None] * 5


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


def test_accuracy_stands_below_table1_with_the_papers_figures(folder: Folder) -> None:
    path = folder([*classified("sise", whole=True), *classified("mine", whole=False)], change=with_classes)
    built = build(path)
    assert [table.name for table in built.tables] == ["table1", "accuracy"]
    cells = {cell.metric: cell for entry in built.tables[1].rows for cell in entry.cells}
    # cat: its two pictures are first and last of three by their scores. dog: its only one does not count.
    # car: last of three.
    cat, car = 1 / 2 + 1 / 3, 1 / 3
    assert cells["map_area"].measured == pytest.approx(100 * (cat + car) / 2)
    assert cells["map_eleven_points"].measured == pytest.approx(100 * ((6 + 5 * 2 / 3) / 11 + car) / 2)
    assert cells["top1"].measured == cells["top5"].measured == pytest.approx(200 / 3)
    assert cells["top5_pairs"].measured == 75
    counts = {name: cells[name].measured for name in ("pictures", "pairs", "classes")}
    assert counts == {"pictures": 3, "pairs": 4, "classes": 2}
    published = {name: cell.published for name, cell in cells.items() if cell.published is not None}
    assert published == {"map_eleven_points": 87.96, "map_area": 87.96, "top1": 87.96} | dict.fromkeys(
        ("top5", "top5_pairs"), 93.09
    )
    assert any(note.startswith("Published accuracy: ") for note in built.notes)


def test_other_data_has_no_published_accuracy(folder: Folder) -> None:
    def elsewhere(config: dict[str, Any], environment: dict[str, Any]) -> None:
        with_classes(config, environment)
        environment["data"]["name"] = "VOC 2012 val"

    built = build(folder(classified("sise", whole=True), change=elsewhere))
    assert all(cell.published is None for row in built.tables[1].rows for cell in row.cells)
    assert not any(note.startswith("Published accuracy: ") for note in built.notes)


@pytest.mark.parametrize(
    "damage",
    [
        {"class_scores": [0.5] * 6},
        {"classes_annotated": [7]},
        {"classes_annotated": []},
        {"classes_annotated": None},
        {"classes_difficult": [3]},
    ],
)
def test_scores_of_other_classes_are_refused(folder: Folder, damage: dict[str, Any]) -> None:
    whole = {"class_scores": [0.5] * 7, "classes_annotated": [0], "classes_difficult": []} | damage
    path = folder([record("sise", "1", "cat", ebpg=1.0, **whole)], change=with_classes)
    with pytest.raises(DataError, match=r"run: damaged: resnet50 1: class_scores that are not of 7 classes"):
        build(path)


def test_pairs_are_split_by_the_place_of_their_class(folder: Folder) -> None:
    path = folder([*classified("sise", whole=True), *classified("mine", whole=False)], change=with_classes)
    built = build(path, by="outcome", metrics=["drop"])
    (table,) = built.tables
    titles = ["ranked first (2 pairs)", "ranked 2 to 5 (1 pair)", "ranked below 5 (1 pair)", "all (4 pairs)"]
    assert [entry.title for entry in table.rows] == titles
    assert [entry.cells[0].measured for entry in table.rows] == [10.0, 20.0, 70.0, 27.5]
    assert any(note.startswith("Outcome: ") for note in built.notes)


@pytest.mark.parametrize(
    ("place", "group"),
    [(1, "ranked first"), (2, "ranked 2 to 5"), (5, "ranked 2 to 5"), (6, "ranked below 5")],
)
def test_outcomes_begin_at_their_places(folder: Folder, place: int, group: str) -> None:
    path = folder([record("sise", "1", drop=1.0, rank=place)])
    (table,) = build(path, by="outcome", metrics=["drop"]).tables
    assert [entry.cells[0].group for entry in table.rows if entry.cells[0].n] == [group, None]


def test_folders_of_an_earlier_version_have_no_accuracy_and_no_outcomes(folder: Folder) -> None:
    path = folder([record("sise", "1", ebpg=1.0)])
    assert [table.name for table in build(path).tables] == ["table1"]
    with pytest.raises(DataError, match=r"^--by outcome: no record of these runs tells the rank"):
        build(path, by="outcome")


def test_models_stand_in_the_papers_order_and_table2_needs_maps(folder: Folder) -> None:
    records = [record("mine", "1", model=model, ebpg=1.0) for model in ("resnet50", "vgg16")]
    assert [(table.name, table.model) for table in build(folder(records)).tables] == [
        ("table1", "vgg16"),
        ("table1", "resnet50"),
    ]


def test_combine_takes_the_first_value_in_the_order_given(folder: Folder) -> None:
    accuracy = folder([record("sise", "1", ebpg=40.0), record("sise", "2", None, error="torn")], "accuracy")

    def on_gpu(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["device_name"] = "Tesla T4"

    timing = folder(
        [
            record("sise", "1", ebpg=41.0, seconds=9.0, maps_kept=[1, 2, 3, 4, 5]),
            record("sise", "2", None, error="gone"),
            record("sise", "3", ebpg=5.0),
        ],
        "timing",
        on_gpu,
    )
    records = combine([load_run(accuracy), load_run(timing)])
    assert records["image_id"].tolist() == ["1", "2", "3"]
    assert records["ebpg"].dropna().tolist() == [40.0, 5.0]
    assert list(records["maps_kept"][0]) == [1, 2, 3, 4, 5]
    assert records["error"].dropna().tolist() == ["torn"]
    notes = build(accuracy, timing).notes
    published = "The published times are from NVIDIA Tesla T4 16 GB, 100 images."
    assert f"Run-time was measured on Tesla T4, fp32 (1 pair). {published}" in notes


def test_run_times_of_a_method_come_from_one_run(folder: Folder) -> None:
    accuracy = folder(
        [
            record(method, image, seconds=3.0, seconds_fusion=1.0)
            for method in ("sise", "mine")
            for image in "12"
        ],
        "accuracy",
    )
    timing = folder([record("sise", "1", seconds=9.0)], "timing")
    records = combine([load_run(timing), load_run(accuracy)]).set_index(["method", "image_id"])
    assert records["seconds"].dropna().to_dict() == {
        ("sise", "1"): 9.0,
        ("mine", "1"): 3.0,
        ("mine", "2"): 3.0,
    }
    assert records["seconds_fusion"].dropna().index.tolist() == [("mine", "1"), ("mine", "2")]
    assert records["timed_on"].notna().tolist() == records["seconds"].notna().tolist()


def test_an_error_does_not_outlive_an_explanation(folder: Folder) -> None:
    failed = folder([record("sise", "1", error="torn"), record("sise", "2", error="gone")], "failed")
    mended = folder([record("sise", "1", score=0.5, ebpg=3.0)], "mended")
    for order in ((failed, mended), (mended, failed)):
        records = combine([load_run(path) for path in order]).set_index("image_id")
        assert records["error"].dropna().to_dict() == {"2": "gone"}


DISAGREEMENTS: dict[str, Callable[[dict[str, Any], dict[str, Any]], object]] = {
    "weights": lambda _, environment: environment["models"]["resnet50"].update(weights_sha256="0" * 64),
    "score": lambda config, _: config.update(score="logit"),
    "data.input_size": lambda config, _: config["data"].update(input_size=64),
    "data.resize": lambda config, _: config["data"].update(resize="short-side"),
    "blocks": lambda config, _: config["models"]["resnet50"].update(blocks="pool-output"),
    "data": lambda _, environment: environment["data"].update(name="drawn scenes"),
    "ada_sise.selector": lambda config, _: config["methods"][0].update(selector="otsu"),
    "precision": lambda _, environment: environment.update(precision="bf16"),
    "adasise-bench": lambda _, environment: environment["tool"].update(version="0.2.0"),
    "definition of ebpg": lambda _, environment: environment["definitions"].update(ebpg="other-v1"),
    "pictures \\(SHA-256\\)": lambda _, environment: environment["data"].update(fingerprint="00"),
    "data.classes.1": lambda _, environment: environment["data"].update(classes=["dog", "tail"]),
    "network.classes.0": lambda _, environment: environment["models"]["resnet50"].update(
        classes=["cat", "dog"]
    ),
    "network.preprocessing.scale": lambda _, environment: environment["models"]["resnet50"].update(
        preprocessing={"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "scale": 1}
    ),
    "network.blocks": lambda _, environment: environment["models"]["resnet50"].update(blocks=["layer4"]),
}


def told(_config: dict[str, Any], environment: dict[str, Any]) -> None:
    """What runs of this version tell of their data and networks, and earlier ones did not."""
    environment["data"] |= {"fingerprint": "ff", "classes": ["dog", "cat"]}
    preprocessing = {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "scale": 255}
    environment["models"]["resnet50"] |= {
        "classes": ["dog", "cat"], "preprocessing": preprocessing, "blocks": ["layer3", "layer4"]
    }  # fmt: skip


def test_runs_of_earlier_versions_join_those_that_tell_more(folder: Folder) -> None:
    earlier = load_run(folder([record("sise", "1", ebpg=10.0)], "earlier"))
    now = load_run(folder([record("ada_sise", "1", ebpg=20.0)], "now", told))
    assert sorted(combine([earlier, now])["ebpg"]) == [10.0, 20.0]


@pytest.mark.parametrize("setting", DISAGREEMENTS)
def test_runs_that_disagree_are_refused(folder: Folder, setting: str) -> None:
    one = load_run(folder([record("sise", "1")], "one", told))
    two = load_run(
        folder([record("sise", "1")], "two", lambda *both: (told(*both), DISAGREEMENTS[setting](*both)))
    )
    with pytest.raises(ConfigError, match=rf"differ in {setting} of resnet50: .+ and .+") as caught:
        combine([one, two])
    assert "\n" not in str(caught.value)


def test_runs_of_different_models_may_differ(folder: Folder) -> None:
    def only(model: str, score: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
        def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
            config["score"] = score
            environment["models"] = {model: environment["models"][model]}

        return change

    one = folder([record("sise", "1")], "one", only("resnet50", "softmax"))
    two = folder([record("sise", "1", model="vgg16")], "two", only("vgg16", "logit"))
    assert len(combine([load_run(one), load_run(two)])) == 2


def test_notes_say_what_limits_the_comparison(folder: Folder) -> None:
    def weaken(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["models"]["resnet50"].update(published=False, weights_file="mine.pt")
        environment["data"].update(embedded=True, full_images=4952, full_pairs=7632)

    records = [
        record("sise", "1", ebpg=1.0, seconds=0.5, degenerate=True),
        record("sise", "1", "cat", error="boom\n\x1b[31m" + "long " * 100),
        record("sise", "2", None, error="unreadable"),
    ]
    notes = build(folder(records, change=weaken)).notes
    assert notes[:5] == (
        "Published: arXiv 2102.07799.",
        "Published, where the former has no number: arXiv 2010.00672, run-times from its authors' slides.",
        "ResNet-50: not the published model: mine.pt, SHA-256 9ca920d69ca9; "
        "numbers are not comparable with the paper's.",
        "ResNet-50: 2 of 4952 images (2 of 7632 pairs).",
        "Data: drawn scenes, not photographs; numbers are not comparable with the paper's.",
    )
    assert notes[5].startswith(
        "run: VOC 2007 test, input 224 px (stretch), score softmax, Some CPU (cpu), fp32"
    )
    assert notes[5].endswith("torch 2.8.0, adasise-bench 0.1.0 (commit abc123).")
    assert "Definitions: ebpg-box-union-v1." in notes
    assert "Degenerate maps (all pixels equal): 1." in notes
    assert notes[-1].startswith("Errors: 2, among them: boom [31mlong")
    assert notes[-1].endswith("...; unreadable")
    assert all(note.isprintable() for note in notes)


def test_notes_name_options_that_are_not_the_defaults(folder: Folder) -> None:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        config["models"]["vgg16"]["blocks"] = "pool-output"
        environment["methods"]["sise"] = {"fusion": "soft", "mu": 0.3}

    notes = build(folder([record("sise", "1")], change=change)).notes
    assert "SISE: options that are not the default: fusion=soft, mu=0.3." in notes
    assert "VGG16: feature maps are read at the pool-output side of the blocks." in notes


def test_published_figures_are_sourced_only_where_shown(folder: Folder) -> None:
    kept = folder([record("sise", "1", maps_kept=[1, 2, 3, 4, 5])], "kept")
    assert "Published map counts: arXiv 2102.07799, means over 500 images." in build(kept).notes
    own = build(folder([record("mine", "1", ebpg=1.0, seconds=1.0)], "own")).notes
    assert not any("ublished" in note for note in own)
    assert "Run-time was measured on Some CPU, fp32 (1 pair)." in own


def test_both_papers_figures_stand_beside_voc_with_their_sources(folder: Folder) -> None:
    change = _with_methods("rise", "sise", "lrp", "box_oracle", "ada_sise", "grad_cam")
    names = ["rise", "box_oracle", "lrp", "sise", "grad_cam", "ada_sise"]
    records = [record(name, "1", ebpg=1.0, seconds=1.0, model="vgg16") for name in names]
    tables = build(folder(records, change=change))
    (table,) = tables.tables
    assert table.title == "Table 1, VGG16: explanation quality and run-time"
    assert table.columns == ("grad_cam", "rise", "sise", "ada_sise", "lrp", "box_oracle")
    assert [cell.published for cell in row(table, "EBPG, %").cells] == [
        55.44,
        33.44,
        60.54,
        60.79,
        None,
        None,
    ]
    assert [cell.published for cell in row(table, "mIoU, %").cells] == [26.52, 27.11, 27.79, None, None, None]
    seconds = [cell.published for cell in row(table, "Run-time, s").cells]
    assert seconds == [0.006, 64.28, 5.96, 4.23, None, None]
    assert tables.notes[:2] == (
        "Published: arXiv 2102.07799.",
        "Published, where the former has no number: arXiv 2010.00672, run-times from its authors' slides.",
    )
    assert any(
        "100 images (Ada-SISE's paper; for the others, their slides)." in note for note in tables.notes
    )


def test_cocos_figures_stand_beside_coco(folder: Folder) -> None:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        _with_methods("sise", "ada_sise")(config, environment)
        config["data"]["layout"] = "coco"
        environment["data"]["name"] = "COCO 2014 val"

    records = [record(name, "1", ebpg=1.0, seconds=1.0, maps_kept=[1] * 5) for name in ("sise", "ada_sise")]
    tables = build(folder(records, change=change))
    quality, maps = tables.tables
    assert quality.title == "COCO 2014 val, ResNet-50: explanation quality and run-time"
    assert [cell.published for cell in row(quality, "EBPG, %").cells] == [29.43, None]
    assert [cell.published for cell in row(quality, "Run-time, s").cells] == [None, None]
    assert all(cell.published is None for line in maps.rows for cell in line.cells)
    assert tables.notes[0] == "Published: the slides of the authors of arXiv 2010.00672."
    assert not any("Tesla" in note or "2102.07799" in note for note in tables.notes)


@pytest.mark.parametrize("name", ["VOC 2012 val", "COCO 2014 val, masks", "drawn scenes", "own set"])
def test_published_figures_never_stand_beside_other_data(folder: Folder, name: str) -> None:
    def change(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["data"]["name"] = name

    tables = build(folder([record("sise", "1", ebpg=1.0, seconds=1.0, maps_kept=[1] * 5)], change=change))
    cells = [cell for table in tables.tables for line in table.rows for cell in line.cells]
    assert all(cell.published is None for cell in cells)
    assert not any("ublished" in note for note in tables.notes)


def _with_methods(*labels: str) -> Callable[[dict[str, Any], dict[str, Any]], None]:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        config["methods"] = [{"name": label, "label": label} for label in labels]
        environment["methods"] = {label: {} for label in labels}

    return change


def test_run_time_counts_pairs_of_one_method(folder: Folder) -> None:
    records = [record(method, image, seconds=1.0) for method in ("mine", "sise") for image in "123"]
    assert any("Some CPU, fp32 (3 pairs)." in note for note in build(folder(records, "equal")).notes)
    fewer = build(folder(records[:-1], "fewer")).notes
    assert any("(2 to 3 pairs, depending on the method)" in note for note in fewer)


def test_complete_published_run_needs_no_warning(folder: Folder) -> None:
    records = [record("sise", image, name) for image, name in (("1", "dog"), ("1", "cat"), ("2", "dog"))]
    notes = build(folder(records)).notes
    assert not any("comparable" in note or " of " in note or "Run-time" in note for note in notes)
    assert notes[-1] == "Errors: 0."


def test_coverage_of_unknown_size_and_of_an_unfinished_run(folder: Folder) -> None:
    def unknown_pairs(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["data"].update(full_images=4952, full_pairs=None)

    def own_size(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["data"].update(full_images=None, full_pairs=None)

    records = [record("sise", "1")]
    assert "ResNet-50: 1 of 4952 images (1 pairs)." in build(folder(records, "a", unknown_pairs)).notes
    assert "ResNet-50: 1 of 2 images (1 of 3 pairs)." in build(folder(records, "b", own_size)).notes


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config.yaml", None),
        ("config.yaml", ""),
        ("config.yaml", "a: [1"),
        ("config.yaml", "models: {}"),
        ("environment.json", None),
        ("environment.json", '{"tool": '),
        ("environment.json", b"\xff\xfe"),
        ("environment.json", json.dumps(ENVIRONMENT | {"models": {}})),
    ],
)
def test_damaged_folder_is_named(folder: Folder, file: str, content: str | bytes | None) -> None:
    path = folder([record("sise", "1")]) / file
    path.unlink()
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=rf"{file}: .*run again") as caught:
        load_run(path.parent)
    assert "\n" not in str(caught.value)


def test_no_run_and_no_records(tmp_path: Path, folder: Folder) -> None:
    with pytest.raises(DataError, match="not a run folder"):
        load_run(tmp_path)
    with pytest.raises(DataError, match="no records yet"):
        build(folder([]))


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (66.4, "percent", "66.40"),
        (9.214, "seconds", "9.21"),
        (0.0468, "seconds", "0.047"),
        (0.5, "seconds", "0.50"),
        (-0.0468, "seconds", "-0.047"),
        (-9.214, "seconds", "-9.21"),
        (1946.04, "inputs", "1946.0"),
        (31.25, "maps", "31.2"),
        (31, "maps", "31"),
    ],
)
def test_numbers_as_printed(value: float, unit: Any, text: str) -> None:
    assert number(value, unit) == text


def test_pointing_is_a_mean_over_classes(folder: Folder) -> None:
    hits = {"dog": [100.0, 0.0, 0.0], "cat": [100.0], "cow": [None]}
    records = [
        record("sise", str(image), name, pointing=hit, average_gain=hit)
        for name, of_class in hits.items()
        for image, hit in enumerate(of_class)
    ]
    built = build(folder(records), metrics=["pointing", "pointing_difficult", "average_gain"])
    (table,) = built.tables
    pointing, difficult, gain = (entry.cells[0] for entry in table.rows[:3])
    assert pointing.measured == pytest.approx((100 / 3 + 100) / 2)
    assert (pointing.n, pointing.of, pointing.images) == (4, 5, 3)
    assert (difficult.measured, difficult.n) == (None, 0)
    assert gain.measured == 50
    (note,) = [note for note in built.notes if note.startswith("Means of the classes' means")]
    assert "Pointing, %; Pointing, difficult, %." in note
    assert not any("classes' means" in note for note in build(folder(records, "again")).notes)


def test_pointing_over_classes_differs_and_groups_as_other_measures_do(folder: Folder) -> None:
    records = [
        record(method, f"{image:02}", name, pointing=100.0 * ((image + offset) % 3 == 0), box_share=50.0)
        for method, offset in (("sise", 0), ("mine", 1))
        for image in range(12)
        for name in ("dog", "cat")[: 1 + (image < 4)]
    ]
    path = folder(records)
    table, differences = build(path, metrics=["pointing"], against="sise").tables
    ours, mine = table.rows[0].cells
    assert ours.measured == pytest.approx((100 * 4 / 12 + 100 * 2 / 4) / 2)
    assert mine.measured == pytest.approx((100 * 4 / 12 + 100 * 1 / 4) / 2)
    (difference,) = differences.rows[0].cells
    assert difference.measured == pytest.approx(mine.measured - ours.measured)
    assert difference.low is not None
    (by_class,) = build(path, metrics=["pointing"], by="class").tables
    assert [entry.cells[0].measured for entry in by_class.rows] == [
        pytest.approx(50),
        pytest.approx(100 / 3),
        ours.measured,
    ]


def test_correlations_have_three_decimals(folder: Folder) -> None:
    (table,) = build(
        folder([record("sise", "1", head_sensitivity=-0.12345)]), metrics=["head_sensitivity"]
    ).tables
    assert number(table.rows[0].cells[0].measured or 0, table.rows[0].unit) == "-0.123"


def test_definitions_are_of_what_was_measured(folder: Folder) -> None:
    def define(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["definitions"] = {"ebpg": "ebpg-x", "insertion": "insertion-x", "sise": "sise-x"}

    notes = build(folder([record("sise", "1", ebpg=1.0)], change=define)).notes
    assert "Definitions: ebpg-x, sise-x." in notes


def test_areas_of_the_frame_are_called_so(folder: Folder) -> None:
    def change(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["methods"] += [
            {"name": "extremal_perturbation", "label": "extremal_perturbation"},
            {"name": "extremal_perturbation", "label": "ep_picture", "areas_of": "picture"},
        ]

    notes = build(folder([record("extremal_perturbation", "1", ebpg=1.0)], change=change)).notes
    (note,) = [note for note in notes if "of the frame" in note]
    assert note.startswith("Extremal Perturbation: areas are shares of the frame")


def test_controls_come_last_and_are_never_the_best(folder: Folder) -> None:
    def with_controls(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["methods"] += [{"name": "box_oracle", "label": "bound"}, {"name": "lrp", "label": "lrp"}]

    values = {"bound": 100.0, "lrp": 10.0, "sise": 20.0}
    records = [record(method, "1", ebpg=value) for method, value in values.items()]
    built = build(folder(records, change=with_controls))
    assert built.tables[0].columns == ("sise", "lrp", "bound")
    assert [cell.best for cell in row(built.tables[0], "EBPG, %").cells] == [True, False, False]
    assert "bound: a control, which does not ask the network and is never marked as best." in built.notes


def test_definitions_are_those_of_the_runs_methods(folder: Folder) -> None:
    def as_now(_: dict[str, Any], environment: dict[str, Any]) -> None:
        environment["definitions"] = {"ebpg": "ebpg-v9", "sise": "sise-v9", "rise": "rise-v9"}

    notes = build(folder([record("sise", "1", ebpg=1.0)], change=as_now)).notes
    (note,) = [note for note in notes if note.startswith("Definitions")]
    assert note == "Definitions: ebpg-v9, sise-v9."


def test_measures_that_a_run_asked_for_are_rows_by_themselves(folder: Folder) -> None:
    def asking(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["extra_metrics"] = ["deletion"]

    (table,) = build(folder([record("sise", "1", deletion=7.0)], change=asking)).tables
    assert row(table, "Deletion, %").cells[0].measured == 7.0
    assert "Insertion, %" not in [entry.title for entry in table.rows]


def test_nothing_is_best_where_all_are_equal(folder: Folder) -> None:
    built = build(folder([record("sise", "1", ebpg=5.0), record("mine", "1", ebpg=5.001)]))
    assert not any(cell.best for cell in row(built.tables[0], "EBPG, %").cells)
    assert not any("no best value is marked" in note for note in built.notes)


def test_the_boxes_share_is_that_of_a_methods_own_pairs(folder: Folder) -> None:
    records = [record("sise", image, box_share=share) for image, share in (("1", 10.0), ("2", 30.0))]
    records += [record("mine", "1", error="gone")]
    (table,) = build(folder(records)).tables
    cells = row(table, "Boxes' area share, %").cells
    assert [(cell.method, cell.measured, cell.n, cell.of) for cell in cells] == [
        ("sise", 20.0, 2, 2),
        ("mine", 10.0, 1, 1),
    ]


def test_explanations_whose_masks_were_scored_in_fp32_after_all_are_counted(folder: Folder) -> None:
    records = [
        record("sise", "1", ebpg=40.0, mask_precision="int8"),
        record("sise", "2", ebpg=40.0, mask_precision="fp32"),
        record("mine", "1", ebpg=40.0, mask_precision="int8"),
        record("mine", "2", error="out of memory"),
    ]
    path = folder(records, change=lambda _, environment: environment.update(precision="int8"))
    assert [note for note in build(path).notes if "masks were scored" in note] == [
        "In 1 of 3 explanations the masks were scored in fp32, because int8 disagreed on a sample of them."
    ]
    exact = folder([record("sise", "1", ebpg=40.0)], "exact")
    assert not [note for note in build(exact).notes if "masks were scored" in note]
