"""What one gets without looking at the picture, as it stands with a run's tables."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from figure_checks import ADA_SISE, SISE, make_run

from adasise_bench.records.folder_names import FINISHED
from adasise_bench.records.reading import in_memory
from adasise_bench.records.record import CHANCE, SCHEMA, Record
from adasise_bench.records.run import Run, load_run
from adasise_bench.reporting.tables import Cell, Table, build_tables
from adasise_bench.reporting.tables.formats import render
from adasise_bench.utils.errors import DataError

NOTE = (
    "Without looking at the picture: EBPG 55.00 (centre pixel), Bbox 45.00 (centre Gaussian), "
    "for these pairs."
)
IMAGES = 12


def _record(method: str, image: int, ebpg: float, **changes: float | None) -> Record:
    values = {
        "score": 0.5,
        "box_share": 30.0,
        "chance_pixel_ebpg": 50.0 + 10 * (image % 2),
        "chance_pixel_bbox": 20.0,
        "chance_gaussian_ebpg": 42.0,
        "chance_gaussian_bbox": 40.0 + 10 * (image % 2),
    }
    bbox = 60.0 + image % 3
    return Record("resnet50", method, f"{image:02}", "dog", ebpg=ebpg, bbox=bbox, **(values | changes))


def _run(folder: Path, **changes: float | None) -> Run:
    """SISE's EBPG is 54 to 58 and reaches down to the 55 of the centre pixel; Ada-SISE's is 10 higher."""
    records = [
        _record(method, image, base + image % 3, **changes)
        for method, base in (("sise", 54.0), ("ada_sise", 64.0))
        for image in range(IMAGES)
    ]
    return make_run(folder, records, (SISE, ADA_SISE))


def _cells(table: Table, metric: str) -> dict[str | None, Cell]:
    return {cell.method: cell for row in table.rows for cell in row.cells if cell.metric == metric}


def test_the_note_names_the_better_map_for_each_metric(tmp_path: Path) -> None:
    tables = build_tables([_run(tmp_path / "run")])
    assert NOTE in tables.notes


def with_records(run: Run, records: pd.DataFrame) -> Run:
    return replace(run, read=in_memory(pa.Table.from_pandas(records, SCHEMA)))


def test_a_method_is_marked_whose_interval_does_not_exceed_chance(tmp_path: Path) -> None:
    cells = _cells(build_tables([_run(tmp_path / "run")]).tables[0], "ebpg")
    assert cells["sise"].low is not None
    assert cells["sise"].low <= 55 < 64 < (cells["ada_sise"].low or 0)
    assert {method: cell.chance for method, cell in cells.items()} == {"sise": 55, "ada_sise": 55}
    assert {method: cell.exceeds_chance for method, cell in cells.items()} == {
        "sise": False,
        "ada_sise": True,
    }


def test_chance_is_that_of_the_pairs_of_each_method(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    few = run.records[(run.records["method"] == "sise") | (run.records["image_id"].astype(int) % 2 == 1)]
    cells = _cells(build_tables([with_records(run, few)]).tables[0], "ebpg")
    assert (cells["sise"].chance, cells["ada_sise"].chance) == (55, 60)


def test_by_class_and_differences(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    tables = build_tables([run], by="class", metrics=["ebpg"]).tables
    assert [cell.exceeds_chance for cell in tables[0].rows[0].cells] == [False, True]
    differences = build_tables([run], against="sise").tables[1]
    assert {cell.chance for row in differences.rows for cell in row.cells} == {None}


def test_other_metrics_and_few_images_are_never_marked(tmp_path: Path) -> None:
    run = _run(tmp_path / "run")
    other = [cell for row in build_tables([run]).tables[0].rows[2:] for cell in row.cells]
    assert {cell.exceeds_chance for cell in other} == {None}
    first = run.records[run.records["image_id"] < "05"]
    few = build_tables([with_records(run, first)])
    assert {cell.exceeds_chance for cell in _cells(few.tables[0], "ebpg").values()} == {None}


def test_without_the_columns_there_is_neither_note_nor_mark(tmp_path: Path) -> None:
    folder = _run(tmp_path / "run", **dict.fromkeys(CHANCE)).folder
    table = pq.read_table(folder / FINISHED, schema=SCHEMA).drop_columns(list(CHANCE))
    with (folder / FINISHED).open("wb") as file:
        pq.write_table(table, file)
    run = load_run(folder)
    assert run.records[list(CHANCE)].isna().all(axis=None)
    tables = build_tables([run])
    assert not any("Without looking" in note for note in tables.notes)
    assert {cell.exceeds_chance for cell in _cells(tables.tables[0], "ebpg").values()} == {None}


@pytest.mark.parametrize("missing", CHANCE)
def test_pairs_without_levels_leave_no_level(tmp_path: Path, missing: str) -> None:
    run = _run(tmp_path / "run")
    records = run.records
    records.loc[records["image_id"] == "03", missing] = None
    run = with_records(run, records)
    shown = [note for note in build_tables([run]).notes if "Without looking" in note]
    assert not any(missing.rsplit("_", 1)[1] in note.lower() for note in shown)


def test_every_format_says_it(tmp_path: Path) -> None:
    tables = build_tables([_run(tmp_path / "run")])
    legend = "the interval does not exceed what one gets without looking at the picture"
    for fmt, mark in (("terminal", "55.00 °"), ("md", "55.00 °"), ("latex", r"55.00 $^\circ$")):
        text = render(tables, fmt, 200)
        assert mark in text
        assert legend in " ".join(text.split())
        assert "65.00 °" not in text
    rows = {
        row["method"]: row
        for row in csv.DictReader(io.StringIO(render(tables, "csv")))
        if row["metric"] == "ebpg"
    }
    assert (rows["sise"]["chance"], rows["sise"]["exceeds_chance"]) == ("55.0", "false")
    assert rows["ada_sise"]["exceeds_chance"] == "true"
    cell = json.loads(render(tables, "json"))["tables"][0]["rows"][0]["cells"][0]
    assert (cell["chance"], cell["exceeds_chance"]) == (55.0, False)


def test_records_of_another_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="chance_pixel_ebpg is 130"):
        _run(tmp_path / "run", chance_pixel_ebpg=130.0)


def test_the_finished_file_has_the_columns() -> None:
    row = asdict(_record("sise", 1, 50.0))
    table = pa.Table.from_pylist([row], schema=SCHEMA)
    assert [table.column(name)[0].as_py() for name in CHANCE] == [row[name] for name in CHANCE]
