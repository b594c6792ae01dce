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

from adasise_bench.errors import ConfigError, DataError
from adasise_bench.records import SCHEMA, Record
from adasise_bench.runs import combine, load_run
from adasise_bench.tables import Cell, Row, Table, Tables, build_tables, number

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


def build(*folders: Path) -> Tables:
    return build_tables([load_run(path) for path in folders])


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
    assert row(table, "EBPG, %").cells == (Cell("sise", "ebpg", 55.0, n=2, of=3, published=66.08),)
    assert row(table, "Run-time, s").cells == (Cell("sise", "seconds", 2.0, n=1, of=3, published=9.21),)
    assert row(table, "Bbox, %").cells == (Cell("sise", "bbox", None, n=0, of=3, published=61.59),)
    assert row(table, "mIoU, %").cells[0].published is None
    assert row(table, "Pairs").cells[0].measured == 3
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
    assert [(cell.measured, cell.n, cell.of) for cell in cells] == [(25.0, 2, 2), (25.0, 2, 1)]


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
        Cell("sise", "maps_kept_p1", 31.5, n=2, of=2, published=31),
        Cell("sise", "maps_kept_p2", 105.0, n=2, of=2, published=130),
    )
    assert [cell.measured for cell in positive.cells] == [32, 110, 201, 500, 1000]
    assert kept.title == "SISE, kept (n=2)"
    assert mine.title == "mine, kept (n=1)"
    assert [cell.published for cell in positive.cells + mine.cells] == [None] * 10
    assert [cell.published for cell in vgg16.rows[0].cells + vgg16.rows[1].cells] == [None] * 10


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
    assert "Run-time measured on Tesla T4, fp32 (n=1); published: NVIDIA Tesla T4 16 GB, 100 images." in notes


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
}


@pytest.mark.parametrize("setting", DISAGREEMENTS)
def test_runs_that_disagree_are_refused(folder: Folder, setting: str) -> None:
    one = load_run(folder([record("sise", "1")], "one"))
    two = load_run(folder([record("sise", "1")], "two", DISAGREEMENTS[setting]))
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
    assert notes[:4] == (
        "Published: arXiv 2102.07799; its map counts are means over 500 images.",
        "ResNet-50: not the published model: mine.pt, SHA-256 9ca920d69ca9; "
        "numbers are not comparable with the paper's.",
        "ResNet-50: 2 of 4952 images (2 of 7632 pairs).",
        "Data: drawn scenes, not photographs; numbers are not comparable with the paper's.",
    )
    assert notes[4].startswith(
        "run: VOC 2007 test, input 224 px (stretch), score softmax, Some CPU (cpu), fp32"
    )
    assert notes[4].endswith("torch 2.8.0, adasise-bench 0.1.0 (commit abc123).")
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
    assert "SISE: not the default options: fusion=soft, mu=0.3." in notes
    assert "VGG16: feature maps read at the pool-output side of the blocks." in notes


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
        (31.25, "maps", "31.2"),
        (31, "maps", "31"),
    ],
)
def test_numbers_as_printed(value: float, unit: Any, text: str) -> None:
    assert number(value, unit) == text
