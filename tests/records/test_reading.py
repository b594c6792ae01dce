"""Records survive what happens to files."""

from __future__ import annotations

import errno
import json
import os
import re
import tracemalloc
import zlib
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from adasise_bench.records import finished_file, reading
from adasise_bench.records import store as record_store
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT
from adasise_bench.records.planned_keys import PlannedKeys
from adasise_bench.records.reading import read_records, record_batches
from adasise_bench.records.record import SCHEMA, Record
from adasise_bench.records.run import load_run
from adasise_bench.records.store import RecordStore
from adasise_bench.utils.errors import DataError, OutputError
from adasise_bench.utils.files import write_atomically


def record(number: int, **changes: object) -> Record:
    values = {"ebpg": number / 3, "maps_kept": [number, 2], "degenerate": False} | changes
    return Record("vgg16", "sise", f"{number:06}", "dog", **values)  # type: ignore[arg-type]


def planned(*numbers: int, **classes: list[str | None]) -> PlannedKeys:
    images: dict[str, list[str | None]] = {f"{number:06}": ["dog"] for number in numbers}
    return PlannedKeys(["vgg16"], ["sise"], images, {**images, **classes}.__getitem__)


def test_round_trip_through_both_files(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, planned(1, 2, 3, 9, **{"000003": [None]}))
    store.append([record(2), record(1), Record("vgg16", "sise", "000003", None, error="torn")])
    in_flight = read_records(tmp_path)
    store.finish()
    store.close()
    finished = read_records(tmp_path)
    assert list(in_flight["image_id"]) == ["000002", "000001", "000003"]
    assert list(finished["image_id"]) == ["000001", "000002", "000003"]
    assert finished["ebpg"][0] == 1 / 3
    assert list(finished["maps_kept"][1]) == [2, 2]
    assert finished["class_name"].isna().tolist() == [False, False, True]
    assert finished["error"][2] == "torn"


def test_the_readme_reads_records_with_pandas_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (call,) = re.findall(r"^records = (pd\.read_json\(.*\))$", readme, re.MULTILINE)
    store = RecordStore(tmp_path, planned(27, 28))
    store.append([record(number, ebpg=number / 81) for number in (27, 28)])
    store.close()
    monkeypatch.chdir(tmp_path)
    found = eval(call, {"pd": pd})
    assert found["image_id"].tolist() == ["000027", "000028"]
    assert found["ebpg"].tolist() == [27 / 81, 28 / 81]


def test_folders_of_before_a_column_was_added_are_read(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, planned(1))
    store.append([record(1)])
    store.finish()
    store.close()
    table = pq.read_table(tmp_path / FINISHED)
    added = ["peak_memory_mb", "seconds_plain_forward", "pointing", "pointing_difficult", "average_gain",
             "insertion", "deletion", "head_sensitivity", "road", "adcc", "sparseness", "complexity",
             "maps_live", "rank", "class_scores",
             "classes_annotated", "classes_difficult", "mask_precision"]  # fmt: skip
    pq.write_table(table.drop_columns(added), tmp_path / FINISHED)
    finished = read_records(tmp_path)
    assert finished["ebpg"][0] == 1 / 3
    assert finished[added].isna().all(axis=None)


def test_finished_bytes_do_not_depend_on_the_order_of_arrival(tmp_path: Path) -> None:
    contents = []
    for name, order in (("a", [1, 2, 3]), ("b", [3, 1, 2])):
        (tmp_path / name).mkdir()
        store = RecordStore(tmp_path / name, planned(1, 2, 3))
        for number in order:
            store.append([record(number)])
        store.finish()
        contents.append((tmp_path / name / FINISHED).read_bytes())
    assert contents[0] == contents[1]


def test_the_finished_file_is_the_one_written_in_one_go_whatever_the_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record_store, "_ROWS_AT_ONCE", 3)
    monkeypatch.setattr(finished_file, "ROWS_PER_GROUP", 6)
    every = [record(number, error="torn" if number % 3 else None) for number in range(20)]
    store = RecordStore(tmp_path, planned(*range(20)))
    store.append(reversed(every))
    store.finish()
    store.close()
    table = pa.Table.from_pylist([asdict(one) for one in every], schema=SCHEMA)
    pq.write_table(table, tmp_path / "at once", row_group_size=6, write_page_checksum=True)
    assert (tmp_path / FINISHED).read_bytes() == (tmp_path / "at once").read_bytes()


def test_the_store_keeps_places_not_records(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, planned(*range(500)))
    store.append([record(0)])
    tracemalloc.start()
    for number in range(1, 500):
        store.append([record(number, error="because" * 100)])
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    store.close()
    assert (store.errors, int(store.explained.sum())) == (499, 1)
    assert held < 20_000


@pytest.mark.parametrize(
    "change", [{"model": ["a"]}, {"model": 1}, {"ebpg": "abc"}, {"ebpg": float("nan")}, {"surplus": 1}]
)
def test_a_line_of_other_types_is_no_record(tmp_path: Path, change: dict[str, object]) -> None:
    line = json.dumps(json.loads(json.dumps(asdict(record(1)))) | change)
    (tmp_path / IN_FLIGHT).write_text(line + "\n")
    with pytest.raises(DataError, match="line 1 is not a record"):
        read_records(tmp_path)
    with pytest.raises(DataError, match="line 1 is not a record"):
        RecordStore(tmp_path)


def test_records_beyond_the_plan_are_kept_but_mended_errors_are_not(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, planned(1))
    unread = Record("vgg16", "sise", "000001", None, error="torn")
    elsewhere = Record("vgg16", "sise", "000007", None, error="torn")
    store.append([unread, elsewhere, record(5), record(1)])
    store.finish()
    assert list(read_records(tmp_path)["image_id"]) == ["000001", "000007", "000005"]


@pytest.mark.parametrize("tail", [b'{"model": "vgg16", "meth', b"\x00\x00", b"{}"])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, tail: bytes) -> None:
    store = RecordStore(tmp_path)
    store.append([record(1)])
    store.close()
    with (tmp_path / IN_FLIGHT).open("ab") as file:
        file.write(tail)
    assert len(read_records(tmp_path)) == 1
    again = RecordStore(tmp_path)
    again.append([record(2)])
    assert len(read_records(tmp_path)) == 2
    assert all(json.loads(line) for line in (tmp_path / IN_FLIGHT).read_text().splitlines())


def test_the_last_record_of_a_key_wins(tmp_path: Path) -> None:
    store = RecordStore(tmp_path)
    store.append([record(1, ebpg=None, error="failed")])
    store.append([record(1, ebpg=5.0)])
    store.close()
    assert list(read_records(tmp_path)["ebpg"]) == [5]
    again = RecordStore(tmp_path, planned(1))
    assert (again.explained.tolist(), again.errors) == ([True], 0)


def test_adding_records_withdraws_the_finished_file(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, planned(1))
    store.append([record(1)])
    store.finish()
    store.append([record(2)])
    assert not (tmp_path / FINISHED).exists()
    assert len(read_records(tmp_path)) == 2


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = RecordStore(tmp_path)
    store.append([record(1)])
    real = os.write

    def partial(descriptor: int, data: bytes) -> int:
        return real(descriptor, data[:10])

    monkeypatch.setattr(os, "write", partial)
    with pytest.raises(OutputError, match="No space left"):
        store.append([record(2)])
    monkeypatch.undo()
    store.append([record(3)])
    assert list(read_records(tmp_path)["image_id"]) == ["000001", "000003"]


def test_atomic_writing_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("old")

    def fail(temporary: Path) -> None:
        temporary.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match="No space left"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["config.yaml"]


def test_what_is_no_run_folder_is_named_with_what_to_give_instead(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "one" / "config.yaml").touch()
    for name, cure in (
        ("nowhere", "no such folder; give the one that `run` printed"),
        ("empty", "has not begun; give the folder that `run` printed"),
        ("runs", f"has not begun; give one that it holds, such as {tmp_path / 'runs' / 'one'}"),
        ("runs/one/config.yaml", "has not begun; give the folder"),
    ):
        for read in (read_records, load_run):
            with pytest.raises(DataError, match=re.escape(f"{tmp_path / name}: ")) as caught:
                read(tmp_path / name)
            assert cure in str(caught.value)


def test_damage_is_named(tmp_path: Path) -> None:
    (tmp_path / IN_FLIGHT).write_text('{"nonsense": 1}\n')
    with pytest.raises(DataError, match="line 1"):
        read_records(tmp_path)
    (tmp_path / FINISHED).write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match="damaged records"):
        read_records(tmp_path)
    pq.write_table(pq.ParquetFile.__module__ and __import__("pyarrow").table({"x": [1]}), tmp_path / FINISHED)
    with pytest.raises(DataError, match="damaged records"):
        read_records(tmp_path)


def test_every_line_ends_with_the_checksum_of_what_stands_before_it(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, planned(1, 2))
    store.append([record(1), record(2, error='"}', ebpg=None)])
    store.close()
    for line in (tmp_path / IN_FLIGHT).read_text().splitlines():
        tree = json.loads(line)
        stated = tree.pop("crc32")
        assert zlib.crc32(json.dumps(tree).encode()) == int(stated, 16)


@pytest.mark.parametrize("at", range(0, 400, 7))
def test_a_changed_letter_never_becomes_another_record(tmp_path: Path, at: int) -> None:
    store = RecordStore(tmp_path, planned(1, 2))
    store.append([record(1), record(2)])
    store.close()
    path = tmp_path / IN_FLIGHT
    content = path.read_bytes()
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(DataError, match=r"records\.jsonl: line 1 .*; remove that line and resume"):
        read_records(tmp_path)
    with pytest.raises(DataError, match="line 1"):
        RecordStore(tmp_path)


def test_lines_of_earlier_versions_are_read_but_no_line_loses_its_checksum(tmp_path: Path) -> None:
    bare = json.dumps(asdict(record(1))) + "\n"
    (tmp_path / IN_FLIGHT).write_text(bare)
    store = RecordStore(tmp_path, planned(1, 2))
    store.append([record(2)])
    store.close()
    assert len(read_records(tmp_path)) == 2
    with (tmp_path / IN_FLIGHT).open("a") as file:
        file.write(bare)
    with pytest.raises(DataError, match="line 3 has lost its checksum"):
        read_records(tmp_path)


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_where_only_the_finished_file_is_left_nothing_is_lost(tmp_path: Path, left: str) -> None:
    store = RecordStore(tmp_path, planned(1, 2, 3))
    store.append([record(1), record(2, seconds_plain_forward=0.25), record(3, ebpg=None, error="torn")])
    store.finish()
    store.close()
    before, lines = (tmp_path / FINISHED).read_bytes(), (tmp_path / IN_FLIGHT).read_bytes()
    (tmp_path / IN_FLIGHT).unlink()
    if left == "an empty file":
        (tmp_path / IN_FLIGHT).touch()
    (batch,) = record_batches(tmp_path)
    assert batch["image_id"].tolist() == ["000001", "000002", "000003"]
    store = RecordStore(tmp_path, planned(1, 2, 3))
    assert (store.errors, store.explained.tolist()) == (1, [True, True, False])
    assert (tmp_path / IN_FLIGHT).read_bytes() == lines
    store.append([record(3)])
    store.finish()
    store.close()
    assert (tmp_path / FINISHED).read_bytes() != before
    assert read_records(tmp_path)["error"].isna().all()


def test_batches_hold_some_thousand_records_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_ROWS_AT_ONCE", 3)
    store = RecordStore(tmp_path, planned(*range(8)))
    store.append([record(number) for number in range(8)])
    store.finish()
    store.close()
    assert [len(batch) for batch in record_batches(tmp_path)] == [3, 3, 2]
    (tmp_path / IN_FLIGHT).unlink()
    assert [len(batch) for batch in record_batches(tmp_path)] == [3, 3, 2]
