"""Runs whose standard streams are closed, or read by nobody, end as others do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from drawn_scenes import PYTHONPATH, settings

from adasise_bench.records.reading import read_records


def shell(script: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of ``script``, in which RUN stands for a run into ``folder``."""
    config = folder.with_suffix(".json")
    config.write_text(settings(limit=2).model_dump_json())
    run = [sys.executable, "-m", "adasise_bench", "run", "--config", config, "--output", folder, *options]
    return subprocess.run(
        ["bash", "-c", script.replace("RUN", " ".join(map(str, run)))],
        env=os.environ | {"PYTHONPATH": PYTHONPATH},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(
    "script",
    [
        "RUN >&- 2>&-",
        "RUN 2>&-",
        "RUN <&- >&- 2>&-",
        "RUN | true; exit ${PIPESTATUS[0]}",
        "RUN 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}",
    ],
)
def test_a_run_does_its_work_whoever_listens(script: str, tmp_path: Path) -> None:
    done = shell(script, tmp_path / "out")
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert len(read_records(tmp_path / "out"))


def test_workers_do_theirs_without_standard_streams(tmp_path: Path) -> None:
    done = shell("RUN >&- 2>&-", tmp_path / "out", "--set", "device=cpu", "--devices", "cpu,cpu")
    assert done.returncode == 0
    assert len(read_records(tmp_path / "out"))
    assert (tmp_path / "out/logs/worker-0.log").exists()


def test_failures_still_count_when_nobody_listens(tmp_path: Path) -> None:
    assert shell("RUN --models nowhere >&- 2>&-", tmp_path / "out").returncode == 2
