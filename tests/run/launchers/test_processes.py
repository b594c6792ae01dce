"""Two CPU workers stand in for devices: equal values, and what happens when processes are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from drawn_scenes import (
    PYTHONPATH,
    Patient,
    after,
    assert_same,
    is_alive,
    kill,
    settings,
    usual_signals,
    values,
)

from adasise_bench.data.voc import VocDataset
from adasise_bench.records.folder_names import IN_FLIGHT, PROGRESS
from adasise_bench.run.config import RunConfig
from adasise_bench.run.launchers.dispatcher import Dispatcher
from adasise_bench.run.launchers.local import LocalWorkerPool
from adasise_bench.run.runner import run
from adasise_bench.run.status import read_status
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import DeviceError, WeightsError

CONFIG = settings(save_maps=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    run(CONFIG, folder)
    return folder


def two(folder: Path) -> Dispatcher:
    return Dispatcher(LocalWorkerPool(CONFIG, folder, ["cpu", "cpu"]))


def test_two_workers_make_the_records_of_one_process(whole: Path, tmp_path: Path) -> None:
    launcher = Dispatcher(Patient(LocalWorkerPool(CONFIG, tmp_path / "out", ["cpu", "cpu"])))
    outcome = run(CONFIG, tmp_path / "out", launcher=launcher)
    assert (outcome.computed, outcome.reused, outcome.errors) == (len(values(whole)), 0, 0)
    assert_same(tmp_path / "out", whole)
    environment = json.loads((tmp_path / "out/environment.json").read_text())
    assert environment["devices"] == ["cpu", "cpu"]
    assert sum(worker["made"] for worker in launcher.workers()) == outcome.computed
    assert all(worker["made"] for worker in launcher.workers())
    assert (tmp_path / "out/logs/worker-0.log").exists()
    assert not any(worker["pid"] and is_alive(worker["pid"]) for worker in launcher.workers())


def test_a_killed_worker_is_replaced_and_loses_nothing(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = two(tmp_path / "out")
    after(3, monkeypatch, lambda: kill(next(w["pid"] for w in launcher.workers() if w["state"] == "busy")))
    assert run(CONFIG, tmp_path / "out", launcher=launcher).errors == 0
    assert_same(tmp_path / "out", whole)
    assert "was killed by SIGKILL (out of memory?); another takes its place" in capsys.readouterr().err


def test_a_picture_that_is_another_where_the_workers_are_keeps_its_records_as_errors(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = VocDataset.digests
    monkeypatch.setattr(VocDataset, "digests", lambda self: {**digests(self), "000003": "00" * 32})
    outcome = run(CONFIG, tmp_path / "out", launcher=two(tmp_path / "out"))
    made, undisturbed = values(tmp_path / "out"), values(whole)
    other = made["image_id"] == "000003"
    assert outcome.errors == other.sum() == (undisturbed["image_id"] == "000003").sum() > 0
    assert made[other]["error"].str.contains(r"000003\.jpg: on .* not the picture that the run").all()
    pd.testing.assert_frame_equal(made[~other], undisturbed[~other], check_exact=True, check_dtype=False)


TALKATIVE = """
import sys
from tqdm import tqdm

def saliency(model, image, target):
    tqdm.write("a line above the bar", file=sys.stderr)
    return image.abs().sum(1)[0]
"""


def test_workers_that_said_something_leave_nothing_behind_for_python_to_report(tmp_path: Path) -> None:
    (tmp_path / "talkative.py").write_text(TALKATIVE)
    command = ["run", "--config", "quickstart", "--limit", "2", "--devices", "cpu,cpu", "--output", "out"]
    told = subprocess.run(
        [sys.executable, "-m", "adasise_bench", *command, "--set", "methods=['talkative:saliency']"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": PYTHONPATH}, capture_output=True, text=True,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert any("a line above the bar" in log.read_text() for log in (tmp_path / "out/logs").iterdir())
    assert "leaked" not in told.stderr


BROKEN_ONCE = """
from pathlib import Path

def saliency(model, image, target):
    if not Path("lost").exists() and len(list(Path().glob("seen*"))) == 5:
        Path("lost").touch()
        raise RuntimeError("CUDA error: uncorrectable ECC error encountered\\nCUDA kernel errors might be")
    Path(f"seen{len(list(Path().glob('seen*')))}").touch()
    return image.abs().sum(1)[0]
"""


@pytest.fixture
def broken_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    """A run whose device is lost once, in the middle of an explanation."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "broken_once.py").write_text(BROKEN_ONCE)
    plugins.load.cache_clear()
    monkeypatch.delitem(sys.modules, "broken_once", raising=False)
    return settings(methods=["broken_once:saliency"])


def test_a_worker_that_loses_its_device_is_replaced_and_loses_nothing(
    broken_once: RunConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = Dispatcher(LocalWorkerPool(broken_once, tmp_path / "out", ["cpu", "cpu"]))
    outcome = run(broken_once, tmp_path / "out", launcher=launcher)
    assert (outcome.errors, len(values(tmp_path / "out"))) == (0, outcome.computed)
    said = "lost cpu (CUDA error: uncorrectable ECC error encountered); another takes its place"
    assert said in capsys.readouterr().err
    logs = [path.read_text() for path in (tmp_path / "out/logs").iterdir()]
    assert any("Traceback" in log and "broken_once.py" in log for log in logs)
    assert (tmp_path / "lost").exists()


def test_one_process_that_loses_its_device_ends_in_one_line_and_keeps_what_is_done(
    broken_once: RunConfig, tmp_path: Path
) -> None:
    with pytest.raises(DeviceError, match=r"^lost cpu: CUDA error: uncorrectable ECC error encountered; "):
        run(broken_once, tmp_path / "out")
    kept = (tmp_path / "out" / IN_FLIGHT).read_bytes().count(b"\n")
    assert kept == 5
    outcome = run(broken_once, tmp_path / "out")
    assert (outcome.reused, outcome.errors) == (kept, 0)


@pytest.fixture
def driver(tmp_path: Path) -> subprocess.Popen[str]:
    """A driver of two workers, in a process group of its own, that has written records."""
    config = tmp_path / "scenes.json"
    config.write_text(CONFIG.model_dump_json())
    command = [sys.executable, "-m", "adasise_bench", "run", "--config", config, "--output", tmp_path / "out"]
    process = subprocess.Popen(
        [*map(str, command), "--set", "device=cpu", "--devices", "cpu,cpu"],
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=usual_signals,
    )
    records = tmp_path / "out" / IN_FLIGHT
    while process.poll() is None and not (records.exists() and records.stat().st_size):
        time.sleep(0.02)
    assert process.poll() is None, process.communicate()
    return process


def _workers(folder: Path) -> list[int]:
    children = Path(f"/proc/{json.loads((folder / PROGRESS).read_text())['pid']}/task")
    return [int(pid) for task in children.iterdir() for pid in (task / "children").read_text().split()]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_driver_and_the_run_resumes(
    whole: Path, tmp_path: Path, driver: subprocess.Popen[str], number: signal.Signals
) -> None:
    folder = tmp_path / "out"
    status = read_status(folder)
    assert (status.state, status.session["pid"]) == ("running", driver.pid)
    workers = _workers(folder)
    assert len(workers) >= 2
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)
    else:
        driver.kill()
    _, stderr = driver.communicate(timeout=60)
    if number == signal.SIGINT:
        assert driver.returncode == 130
        assert "give the same command again" in stderr
        assert "Traceback" not in stderr
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline, "workers outlive their driver"
        time.sleep(0.05)
    kept = (folder / IN_FLIGHT).read_bytes().count(b"\n")
    status = read_status(folder)
    assert status.state == "dead"
    assert sum(count.made for count in status.counts) == kept
    outcome = run(CONFIG, folder)
    assert (outcome.reused, outcome.errors) == (kept, 0)
    assert_same(folder, whole)


def test_weights_that_no_worker_can_load_are_one_line_and_leave_the_folder_usable(tmp_path: Path) -> None:
    config = settings(models={"scenes_vgg": {"sha256": "deadbeef"}}, limit=1)
    launcher = Dispatcher(LocalWorkerPool(config, tmp_path / "out", ["cpu", "cpu"]))
    with pytest.raises(WeightsError, match="expected deadbeef"):
        run(config, tmp_path / "out", launcher=launcher)
    assert run(settings(limit=1), tmp_path / "out").errors == 0
