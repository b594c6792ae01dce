"""Table 1: what its numbers rest on, which are the best, and which published ones stand beside them."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from table_runs import (
    ENVIRONMENT,
    Folder,
    build,
    many,
    record,
    row,
    with_methods,
)

from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import Cell, number
from adasise_bench.utils.errors import ConfigError, DataError


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
    assert table.columns == ("ada_sise", "sise", "mine")
    assert [cell.best for cell in row(table, "EBPG, %").cells] == [True, True, False]
    assert [cell.best for cell in row(table, "Drop, %").cells] == [False, True, False]
    assert not any(cell.best for cell in row(table, "Bbox, %").cells)


def test_best_is_marked_only_where_all_rest_on_the_same_pairs(folder: Folder) -> None:
    values = {"sise": 2.0, "mine": 1.0}
    records = [record(method, image, bbox=value) for method, value in values.items() for image in "12"]
    records += [record("sise", "3", ebpg=50.0), record("mine", "4", ebpg=60.0)]
    records.append(record("ada_sise", "1", error="gone"))
    built = build(folder(records))
    assert [cell.best for cell in row(built.tables[0], "Bbox, %").cells] == [False, True, False]
    assert not any(cell.best for cell in row(built.tables[0], "EBPG, %").cells)
    (note,) = [note for note in built.notes if "no best value" in note]
    assert "marked in EBPG, %, because the methods were measured on different pairs" in note


def test_controls_come_last_and_are_never_the_best(folder: Folder) -> None:
    def with_controls(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["methods"] += [{"name": "box_oracle", "label": "bound"}, {"name": "lrp", "label": "lrp"}]

    values = {"bound": 100.0, "lrp": 10.0, "sise": 20.0}
    records = [record(method, "1", ebpg=value) for method, value in values.items()]
    built = build(folder(records, change=with_controls))
    assert built.tables[0].columns == ("sise", "lrp", "bound")
    assert [cell.best for cell in row(built.tables[0], "EBPG, %").cells] == [True, False, False]
    assert "bound: a control, which does not ask the network and is never marked as best." in built.notes


def test_nothing_is_best_where_all_are_equal(folder: Folder) -> None:
    built = build(folder([record("sise", "1", ebpg=5.0), record("mine", "1", ebpg=5.001)]))
    assert not any(cell.best for cell in row(built.tables[0], "EBPG, %").cells)
    assert not any("no best value is marked" in note for note in built.notes)


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
    assert [(cell.measured, cell.n, cell.of) for cell in cells] == [(10.0, 1, 1), (25.0, 2, 2)]


def test_the_boxes_share_is_that_of_a_methods_own_pairs(folder: Folder) -> None:
    records = [record("sise", image, box_share=share) for image, share in (("1", 10.0), ("2", 30.0))]
    records += [record("mine", "1", error="gone")]
    (table,) = build(folder(records)).tables
    cells = row(table, "Boxes' area share, %").cells
    assert [(cell.method, cell.measured, cell.n, cell.of) for cell in cells] == [
        ("sise", 20.0, 2, 2),
        ("mine", 10.0, 1, 1),
    ]


def test_models_stand_in_the_papers_order_and_table2_needs_maps(folder: Folder) -> None:
    records = [record("mine", "1", model=model, ebpg=1.0) for model in ("resnet50", "vgg16")]
    assert [(table.name, table.model) for table in build(folder(records)).tables] == [
        ("table1", "vgg16"),
        ("table1", "resnet50"),
    ]


def test_own_models_stand_in_the_order_of_the_configuration(folder: Folder) -> None:
    def configured(config: dict[str, Any], environment: dict[str, Any]) -> None:
        for part in (config, environment):
            part["models"] = {name: deepcopy(part["models"]["vgg16"]) for name in ("zebra", "ant", "vgg16")}

    records = [record("sise", "1", model=model, ebpg=1.0) for model in ("ant", "vgg16", "zebra")]
    tables = build(folder(records, change=configured)).tables
    assert [table.model for table in tables] == ["vgg16", "zebra", "ant"]


def test_measures_that_a_run_asked_for_are_rows_by_themselves(folder: Folder) -> None:
    def asking(config: dict[str, Any], _: dict[str, Any]) -> None:
        config["extra_metrics"] = ["deletion"]

    (table,) = build(folder([record("sise", "1", deletion=7.0)], change=asking)).tables
    assert row(table, "Deletion, %").cells[0].measured == 7.0
    assert "Insertion, %" not in [entry.title for entry in table.rows]


def test_both_papers_figures_stand_beside_voc_with_their_sources(folder: Folder) -> None:
    change = with_methods("rise", "sise", "lrp", "box_oracle", "ada_sise", "grad_cam")
    names = ["rise", "box_oracle", "lrp", "sise", "grad_cam", "ada_sise"]
    records = [record(name, "1", ebpg=1.0, seconds=1.0, model="vgg16") for name in names]
    tables = build(folder(records, change=change))
    (table,) = tables.tables
    assert table.title == "Table 1, VGG16: explanation quality and run-time"
    assert table.columns == ("rise", "sise", "lrp", "ada_sise", "grad_cam", "box_oracle")
    assert [cell.published for cell in row(table, "EBPG, %").cells] == [
        33.44,
        60.54,
        None,
        60.79,
        55.44,
        None,
    ]
    assert [cell.published for cell in row(table, "mIoU, %").cells] == [27.11, 27.79, None, None, 26.52, None]
    seconds = [cell.published for cell in row(table, "Run-time, s").cells]
    assert seconds == [64.28, 5.96, None, 4.23, 0.006, None]
    assert tables.notes[0] == (
        "Published: arXiv 2102.07799; where it has no number: arXiv 2010.00672, run-times from its authors' "
        "slides. Run-times: NVIDIA Tesla T4 16 GB, 100 images."
    )


def test_methods_stand_in_the_order_of_the_configuration_or_as_chosen(folder: Folder) -> None:
    change = with_methods("zebra", "sise", "centre", "apple", "ada_sise")

    def with_control(config: dict[str, Any], environment: dict[str, Any]) -> None:
        change(config, environment)
        config["methods"][2]["name"] = "box_oracle"

    maps = [1, 2, 3, 4, 5]
    names = ["ada_sise", "apple", "centre", "sise", "zebra"]
    records = [record(name, "1", ebpg=1.0, maps_kept=maps) for name in names]
    records.append(record("apple", "2", error="gone"))
    path = folder(records, change=with_control)
    quality, kept = build(path).tables
    assert quality.columns == ("zebra", "sise", "apple", "ada_sise", "centre")
    assert [entry.cells[0].method for entry in kept.rows[1:]] == list(quality.columns)
    chosen = build(path, methods=["ada_sise", "centre", "zebra"], against="zebra")
    assert chosen.tables[0].columns == ("ada_sise", "centre", "zebra")
    assert chosen.tables[1].columns == ("ada_sise", "centre")
    assert row(chosen.tables[0], "Pairs").cells[0].measured == 1
    assert not any("Errors" in note or "apple" in note for note in chosen.notes)
    with pytest.raises(ConfigError, match=r"--methods: no method 'aple' in these runs; did you mean 'apple'"):
        build(path, methods=["aple"])
    with pytest.raises(ConfigError, match=r"--against: --methods leaves 'sise' out"):
        build(path, methods=["zebra"], against="sise")


def test_cocos_figures_stand_beside_coco(folder: Folder) -> None:
    def change(config: dict[str, Any], environment: dict[str, Any]) -> None:
        with_methods("sise", "ada_sise")(config, environment)
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


def test_correlations_have_three_decimals(folder: Folder) -> None:
    (table,) = build(
        folder([record("sise", "1", head_sensitivity=-0.12345)]), metrics=["head_sensitivity"]
    ).tables
    assert number(table.rows[0].cells[0].measured or 0, table.rows[0].unit) == "-0.123"


def test_no_run_and_no_records(tmp_path: Path, folder: Folder) -> None:
    with pytest.raises(DataError, match="not a run folder"):
        load_run(tmp_path)
    with pytest.raises(DataError, match="no records yet"):
        build(folder([]))


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


def test_table1_and_table2_carry_intervals(folder: Folder) -> None:
    records = many({"sise": lambda image: 10.0 + image})
    records += [record("ada_sise", f"{image:02}", maps_kept=[image, 2, 3, 4, 5]) for image in range(12)]
    table, maps = build(folder(records)).tables
    cell = row(table, "EBPG, %").cells[1]
    assert cell.measured is not None
    assert cell.low is not None
    assert cell.high is not None
    assert 10 < cell.low < cell.measured < cell.high < 21
    assert (cell.n, cell.images) == (16, 12)
    varying, fixed = maps.rows[1].cells[:2]
    assert varying.low is not None
    assert fixed.low is fixed.high is None
