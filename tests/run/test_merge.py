"""Merged shards are the whole run; what does not belong together is refused and named."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner, Result
from small_runs import assert_same, settings, tiny_network

from adasise_bench.cli import main
from adasise_bench.records import environment, manifest
from adasise_bench.records.folder_names import FINISHED, MANIFEST
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Record
from adasise_bench.records.store import RecordStore
from adasise_bench.run.merge import merge
from adasise_bench.run.runner import run

SHARDS = 4
"""Of the three pictures 000001 and 000003 are in shard 3, 000002 is in shard 4; 1 and 2 have none."""


@pytest.fixture
def shards(voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    tiny_network(monkeypatch)
    monkeypatch.setattr(environment, "tool_commit", lambda: None)
    folders = [tmp_path / f"shard{index}" for index in range(1, SHARDS + 1)]
    for index, folder in enumerate(folders, 1):
        run(settings(voc_root, shard=f"{index}/{SHARDS}"), folder)
    return folders


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["merge", *map(str, arguments)])


def test_merged_shards_are_the_whole_run(voc_root: Path, tmp_path: Path, shards: list[Path]) -> None:
    result = call(tmp_path / "merged", *reversed(shards))
    assert result.exit_code == 0, result.output
    run(settings(voc_root), tmp_path / "whole")
    (tmp_path / "whole/progress.json").unlink()
    (tmp_path / "merged/.lock").touch()
    assert_same(tmp_path / "merged", tmp_path / "whole")
    for name in ("config.yaml", "pictures.sha256"):
        assert (tmp_path / "merged" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    merged, whole = (
        json.loads((tmp_path / name / "environment.json").read_text()) for name in ("merged", "whole")
    )
    assert merged["data"] == whole["data"]
    assert list(merged["shards"]) == ["1/4", "2/4", "3/4", "4/4"]
    again = run(settings(voc_root), tmp_path / "merged")
    assert (again.computed, again.reused) == (0, len(read_records(tmp_path / "whole")))


def test_the_merged_file_has_the_bytes_that_its_records_have_in_one_run(
    voc_root: Path, tmp_path: Path, shards: list[Path]
) -> None:
    merge(tmp_path / "merged", shards)
    run(settings(voc_root, limit=1), tmp_path / "whole")
    rows = read_records(tmp_path / "merged").to_dict("records")
    assert [row["image_id"] for row in rows[:4]] == ["000001", "000001", "000002", "000003"]
    shutil.copytree(tmp_path / "merged/maps", tmp_path / "whole/maps", dirs_exist_ok=True)
    (tmp_path / "whole/records.jsonl").write_bytes((tmp_path / "merged/records.jsonl").read_bytes())
    assert run(settings(voc_root), tmp_path / "whole").computed == 0
    assert (tmp_path / "merged" / FINISHED).read_bytes() == (tmp_path / "whole" / FINISHED).read_bytes()


def test_a_missing_shard_and_one_given_twice_are_named(tmp_path: Path, shards: list[Path]) -> None:
    missing = call(tmp_path / "merged", shards[3], shards[0])
    assert (missing.exit_code, missing.output) == (3, "Error: missing: shard 2/4, 3/4\n")
    shutil.copytree(shards[3], tmp_path / "copy")
    twice = call(tmp_path / "merged", *shards, tmp_path / "copy")
    assert "both are shard 4/4" in twice.output
    assert not (tmp_path / "merged").exists()


def test_an_unfinished_shard_a_whole_run_and_other_folders_are_refused(
    voc_root: Path, tmp_path: Path, shards: list[Path]
) -> None:
    assert "exists already" in call(shards[0], *shards).output
    run(settings(voc_root), tmp_path / "whole")
    assert (
        "a whole run, and not a part made with --shard"
        in call(tmp_path / "merged", tmp_path / "whole").output
    )
    assert "not a run folder" in call(tmp_path / "merged", tmp_path).output
    (shards[2] / FINISHED).unlink()
    assert "shard 3/4 is not finished" in call(tmp_path / "merged", *shards).output


@pytest.mark.parametrize(
    ("file", "change", "named"),
    [
        ("environment.json", {"torch": "1.0.0"}, "torch: "),
        ("environment.json", {"device_name": "other"}, "device_name: "),
        ("environment.json", {"identity": {"seed": 9}}, "identity."),
        ("environment.json", {"data": {"fingerprint": "00", "pairs": 3}}, "pictures: "),
        ("config.yaml", {"limit": 2}, "limit: "),
        ("config.yaml", {"shard": "4/5"}, "shards: "),
    ],
)
def test_shards_of_different_runs_are_refused_and_named(
    tmp_path: Path, shards: list[Path], file: str, change: dict[str, Any], named: str
) -> None:
    path = shards[3] / file
    tree = json.loads(path.read_text()) if file.endswith("json") else yaml.safe_load(path.read_text())
    path.write_text(json.dumps(tree | change))
    (shards[3] / MANIFEST).unlink()
    result = call(tmp_path / "merged", *shards)
    assert result.exit_code == 2
    assert "are not shards of one run" in result.output
    assert named in result.output
    assert not (tmp_path / "merged").exists()


def rewritten(folder: Path, records: list[Record]) -> None:
    for name in (FINISHED, "records.jsonl", MANIFEST):
        (folder / name).unlink(missing_ok=True)
    store = RecordStore(folder)
    store.append(records)
    store.finish()
    store.close()


def test_lacking_doubled_and_misplaced_records_are_named(tmp_path: Path, shards: list[Path]) -> None:
    records = [Record(**row) for row in _rows(shards[2])]
    assert len(records) == 6
    rewritten(shards[2], records[:5])
    assert "lacks 1 record, the first resnet50 ada_sise 000003 cat" in call(tmp_path / "m", *shards).output
    rewritten(shards[2], records[:1])
    assert "has 1 of 3 image-class pairs" in call(tmp_path / "m", *shards).output
    rewritten(shards[3], records)
    assert "holds a record of 000001, which belongs to another shard" in call(tmp_path / "m", *shards).output
    (shards[2] / FINISHED).write_bytes(b"PAR1 torn")
    assert "damaged records" in call(tmp_path / "m", *shards).output
    assert not (tmp_path / "m").exists()


def test_a_record_given_twice_in_one_file_is_named(tmp_path: Path, shards: list[Path]) -> None:
    import pyarrow as pa

    table = pq.read_table(shards[3] / FINISHED)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), shards[3] / FINISHED)
    (shards[3] / MANIFEST).unlink()
    assert "holds resnet50 sise 000002 person twice" in call(tmp_path / "merged", *shards).output


def test_an_empty_shard_is_no_failure(voc_root: Path, shards: list[Path]) -> None:
    config = shards[0] / "again.json"
    config.write_text(settings(voc_root, shard="1/4").model_dump_json())
    result = CliRunner().invoke(main, ["run", "--config", str(config), "--output", str(shards[0])])
    assert result.exit_code == 0, result.output
    assert len(read_records(shards[0])) == 0


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", FINISHED, "pictures.sha256"])
def test_a_shard_that_was_edited_after_it_had_finished_is_named(
    tmp_path: Path, shards: list[Path], name: str
) -> None:
    path = shards[2] / name
    path.write_bytes(path.read_bytes() + b"\n")
    result = call(tmp_path / "merged", *shards)
    assert result.exit_code == 3
    assert f"{path}: was changed after the run had finished" in result.output
    assert not (tmp_path / "merged").exists()


def test_a_shard_with_a_value_that_no_metric_gives_is_named(tmp_path: Path, shards: list[Path]) -> None:
    first, *others = [Record(**row) for row in _rows(shards[2])]
    rewritten(shards[2], [replace(first, ebpg=25000.0), *others])
    result = call(tmp_path / "merged", *shards)
    assert result.exit_code == 3
    assert "ebpg is 25000, and can only be within 0 and 100" in result.output


def test_the_merged_folder_has_a_manifest(tmp_path: Path, shards: list[Path]) -> None:
    assert call(tmp_path / "merged", *shards).exit_code == 0
    assert (tmp_path / "merged" / MANIFEST).exists()
    manifest.verify(tmp_path / "merged")


def _rows(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / FINISHED).to_pylist()
    return rows
