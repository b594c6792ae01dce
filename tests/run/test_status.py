"""What status says of folders in every state."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from adasise_bench.cli import main
from adasise_bench.records import row_groups
from adasise_bench.records.folder import exclusive
from adasise_bench.records.record import Record
from adasise_bench.records.store import RecordStore
from adasise_bench.run import progress
from adasise_bench.run.status import describe_status, read_status, status_facts
from adasise_bench.utils.errors import DataError


def record(number: int, method: str = "sise", **changes: Any) -> Record:
    return Record("resnet50", method, f"{number:06}", "dog", **changes)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of 2 x 10 explanations three are made and one has failed; another had failed before."""
    config = {"methods": [{"label": "sise"}, {"label": "ada_sise"}], "models": {"resnet50": {}}}
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    (tmp_path / "environment.json").write_text(json.dumps({"data": {"pairs": 10}}))
    session = {
        "host": "node7",
        "pid": 12,
        "workers": [{"number": 0, "place": "node7 cuda:0", "state": "busy", "pid": 13, "made": 4}],
        "samples": [[1000.0, 0], [1040.0, 4]],
    }
    (tmp_path / "progress.json").write_text(json.dumps(session))
    store = RecordStore(tmp_path)
    store.append([record(1, error="torn"), record(1), record(2), record(1, "ada_sise")])
    store.append([record(2, "ada_sise", error="torn")])
    store.close()
    with (tmp_path / "records.jsonl").open("a") as file:
        file.write('{"torn')
    return tmp_path


def test_running_dead_and_finished(folder: Path) -> None:
    with exclusive(folder):
        status = read_status(folder)
        assert status.state == "running"
        assert [(c.method, c.made, c.failed, c.planned) for c in status.counts] == [
            ("sise", 2, 0, 10),
            ("ada_sise", 1, 1, 10),
        ]
        assert status.records_per_second(1080.0) == pytest.approx(4 / 80)
        text = describe_status(status, 1080.0)
        assert "running on node7, process 12" in text
        assert "0.05 records/s over the last minutes; 16 records to go, about 5 min" in text
        assert "busy" in text
    dead = read_status(folder)
    assert (dead.state, dead.records_per_second(1080.0)) == ("dead", None)
    assert "give the same command again to continue it" in describe_status(dead, 1080.0)
    assert "gone" in describe_status(dead, 1080.0)
    store = RecordStore(folder)
    store.finish()
    store.close()
    assert read_status(folder).state == "finished"


@pytest.mark.parametrize("size", [2, 3, 100])
@pytest.mark.parametrize("told", [True, False])
def test_a_finished_run_is_counted_from_its_file(folder: Path, size: int, told: bool) -> None:
    """Whether groups of rows have one method or several, and whether or not the file describes them."""
    before = read_status(folder)
    store = RecordStore(folder)
    store.finish()
    store.close()
    table = pq.read_table(folder / "records.parquet").sort_by("method")
    pq.write_table(table, folder / "records.parquet", row_group_size=size, write_statistics=told)
    assert read_status(folder).counts == before.counts
    (folder / "records.jsonl").unlink()
    assert read_status(folder).counts == before.counts
    assert read_status(folder).last_record is not None


def test_a_finished_run_is_counted_without_reading_a_row(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = RecordStore(folder)
    store.finish()
    store.close()
    table = pq.read_table(folder / "records.parquet")
    with pq.ParquetWriter(folder / "records.parquet", table.schema) as writer:
        for method in ("sise", "ada_sise"):
            writer.write_table(table.filter(pc.equal(table["method"], method)))
    (folder / "records.jsonl").write_text("torn\n")
    monkeypatch.setattr(row_groups, "_read", None)
    assert [(count.made, count.failed) for count in read_status(folder).counts] == [(2, 0), (1, 1)]


def test_a_finished_run_has_no_workers(folder: Path) -> None:
    assert status_facts(read_status(folder), 0.0)["workers"]
    store = RecordStore(folder)
    store.finish()
    store.close()
    told = status_facts(read_status(folder), 0.0)
    assert (told["state"], told["workers"]) == ("finished", [])


def test_damage_of_a_finished_file_is_one_line(folder: Path) -> None:
    (folder / "records.parquet").write_bytes(b"PAR1 torn")
    with pytest.raises(DataError, match=r"records.parquet: damaged records"):
        read_status(folder)


def test_a_run_that_has_just_begun(folder: Path) -> None:
    (folder / "records.jsonl").unlink()
    (folder / "progress.json").write_text("{torn")
    with exclusive(folder):
        status = read_status(folder)
    assert (status.last_record, status.session, status.records_per_second(0.0)) == (None, {}, None)
    assert "20 records to go" in describe_status(status, 0.0)


def test_looking_does_not_stop_a_run_from_starting(folder: Path) -> None:
    from threading import Event, Thread

    stop = Event()

    def look() -> None:
        while not stop.is_set():
            read_status(folder)

    looking = Thread(target=look)
    looking.start()
    try:
        for _ in range(20):
            with exclusive(folder):
                pass
    finally:
        stop.set()
        looking.join()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("config.yaml", "[]"),
        ("config.yaml", "{}"),
        ("environment.json", "{torn"),
        ("environment.json", '{"data": {}}'),
        ("records.jsonl", "[]\n"),
        ("records.jsonl", "{}\n"),
    ],
)
def test_damage_is_one_line(folder: Path, file: str, text: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(DataError, match=r"damaged"):
        read_status(folder)


WORKER = {"number": 0, "place": "here", "state": "busy", "made": 4}


@pytest.mark.parametrize(
    "session",
    [
        {"host": "h", "pid": 1, "workers": [{}], "samples": []},
        {"host": "h", "pid": 1, "workers": ["a"], "samples": []},
        {"host": "h", "pid": 1, "workers": 3, "samples": []},
        {"host": "h", "pid": 1, "workers": [WORKER | {"number": None}], "samples": []},
        {"host": "h", "pid": 1, "workers": [WORKER | {"made": "many"}], "samples": []},
        {"host": "h", "pid": [], "workers": [], "samples": []},
        {"host": "h", "pid": 1, "workers": [], "samples": [[1]]},
        {"host": "h", "pid": 1, "workers": [], "samples": [["x", 1]]},
        {"host": "h", "pid": 1, "workers": [], "samples": [[float("nan"), 1], [float("inf"), 2]]},
        {"host": "h", "pid": 1, "workers": [], "samples": [[10**400, 1]]},
        [],
        None,
        {},
    ],
)
def test_a_foreign_progress_file_tells_nothing(folder: Path, session: object) -> None:
    (folder / "progress.json").write_text(json.dumps(session))
    with exclusive(folder):
        status = read_status(folder)
        assert (status.state, status.session) == ("running", {})
        assert describe_status(status, 1080.0).startswith(f"{folder}: running\n")


def test_what_a_progress_file_says_is_no_order_for_a_ci_server(folder: Path) -> None:
    place = "\n::error::forged \x1b[31m ##[error]"
    session = {"host": place, "pid": 1, "workers": [WORKER | {"place": place}], "samples": []}
    (folder / "progress.json").write_text(json.dumps(session))
    text = describe_status(read_status(folder), 1080.0)
    assert all(line.isprintable() for line in text.splitlines())
    assert not any(line.lstrip().startswith("::") or "##[" in line for line in text.splitlines())


def test_no_run_folder(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["status", str(tmp_path)])
    assert result.exit_code == 3
    assert "not a run folder, or its run has not begun; give the folder that `run` printed" in result.output


def test_status_imports_nothing_heavy(folder: Path) -> None:
    code = (
        "import sys; from adasise_bench.cli import main\n"
        "main(['status', sys.argv[1]], standalone_mode=False)\n"
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'pydantic') if m in sys.modules])"
    )
    output = subprocess.check_output([sys.executable, "-c", code, str(folder)], text=True)
    assert output.splitlines()[-1] == "[]"


def test_a_clock_that_was_set_back_changes_no_rate(folder: Path) -> None:
    session = json.loads((folder / "progress.json").read_text())
    (folder / "progress.json").write_text(json.dumps(session | {"written": 5000.0}))
    with exclusive(folder):
        status = read_status(folder)
    assert status.records_per_second(5040.0) == pytest.approx(4 / 80)
    assert status.records_per_second(1400.0) == pytest.approx(4 / 40)


def test_progress_is_told_although_the_clock_is_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = SimpleNamespace(workers=list)
    clock = iter(range(5000, 0, -100))
    monkeypatch.setattr(progress.time, "time", lambda: float(next(clock)))
    steady = iter(range(0, 1000, 10))
    monkeypatch.setattr(progress.time, "monotonic", lambda: float(next(steady)))
    with progress.Progress(tmp_path, launcher, 4, 4) as bar:  # type: ignore[arg-type]
        for number in range(4):
            bar.update([record(number)])
        told = json.loads((tmp_path / "progress.json").read_text())
    assert told["samples"][-1][1] == 4
    times = [time for time, _ in told["samples"]]
    assert times == sorted(times)


def test_two_who_look_at_once_do_not_take_each_other_for_a_run(folder: Path) -> None:
    """A look shares the lock, so that a dead run is never called running."""
    with exclusive(folder):
        pass
    with (folder / ".lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert read_status(folder).state == "dead"


def test_the_status_is_told_as_json(folder: Path) -> None:
    with exclusive(folder):
        result = CliRunner().invoke(main, ["status", "--json", str(folder)])
    (told,) = json.loads(result.output)
    assert told["state"] == "running"
    assert told["counts"][1] == {
        "model": "resnet50", "method": "ada_sise", "made": 1, "failed": 1, "planned": 10,
    }  # fmt: skip
    assert (told["left"], told["host"], told["workers"][0]["made"]) == (16, "node7", 4)
    assert told["seconds_left"] == pytest.approx(16 / told["records_per_second"])
    (dead,) = json.loads(CliRunner().invoke(main, ["status", "--json", str(folder)]).output)
    assert (dead["state"], dead["seconds_left"]) == ("dead", None)


def test_one_record_is_one_record(folder: Path) -> None:
    (folder / "environment.json").write_text(json.dumps({"data": {"pairs": 2}}))
    assert "\n1 record to go" not in describe_status(read_status(folder), 0.0)
    (folder / "config.yaml").write_text(
        json.dumps({"methods": [{"label": "ada_sise"}], "models": {"resnet50": {}}})
    )
    (folder / "environment.json").write_text(json.dumps({"data": {"pairs": 3}}))
    assert "\n1 record to go" in describe_status(read_status(folder), 0.0)
