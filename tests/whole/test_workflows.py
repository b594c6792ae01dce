"""Workflows and scripts: what they call exists, and the gate's steps end as they should."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from adasise_bench.cli import main
from adasise_bench.regression.baseline_file import read_baseline
from adasise_bench.run.config_file import load_config

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
SCRIPTS = [
    ROOT / ".ci/run",
    ROOT / "scripts/regression.sh",
    ROOT / "scripts/gpu_acceptance.sh",
    ROOT / "scripts/gpu_wheels.sh",
]
BASELINED = ("quickstart", "regression")


def jobs(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())["jobs"]
    return found


def commands(path: Path) -> str:
    """All shell text of a workflow or script."""
    if path.suffix != ".yml":
        return path.read_text()
    return "\n".join(step.get("run", "") for job in jobs(path).values() for step in job["steps"])


def test_there_is_a_job_for_every_push_and_one_for_gpu_runners() -> None:
    by_name = {path.name: yaml.safe_load(path.read_text()) for path in WORKFLOWS}
    assert all(
        True in workflow and "push" in workflow[True] for workflow in by_name.values()
    )  # `on` is YAML's true
    assert ".ci/run" in commands(ROOT / ".github/workflows/ci.yml")
    gpu = by_name["gpu-regression.yml"]
    assert gpu["jobs"]["gpu"]["runs-on"] == ["self-hosted", "gpu"]
    assert "pull_request" not in gpu[True]
    assert "scripts/regression.sh" in commands(ROOT / ".github/workflows/gpu-regression.yml")
    upload = gpu["jobs"]["gpu"]["steps"][-1]
    assert upload["if"] == "always()"
    assert upload["with"]["path"] == gpu["jobs"]["gpu"]["env"]["OUTPUT"]


@pytest.mark.parametrize("path", [*WORKFLOWS, *SCRIPTS], ids=lambda path: path.name)
def test_every_path_and_command_in_it_exists(path: Path) -> None:
    text = path.read_text()
    for name in re.findall(r"(?<![\w/.-])(?:configs|scripts|results/baselines|\.ci)/[\w./-]+", text):
        assert (ROOT / name).is_file(), name
    shell = commands(path)
    assert subprocess.run(["bash", "-n"], input=shell, text=True, check=False).returncode == 0
    for line in shell.replace("\\\n", " ").splitlines():
        for command, rest in re.findall(
            r"(?:^|\s)(?:bench|adasise-bench) (\w+) ([^|>]*)", line.partition("#")[0]
        ):
            known = {option for parameter in main.commands[command].params for option in parameter.opts}
            assert set(re.findall(r"(?<!\S)--[\w-]+", rest)) <= known, line
    assert path.suffix == ".yml" or os.access(path, os.X_OK)


@pytest.mark.parametrize("name", BASELINED)
def test_a_checked_in_baseline_is_of_its_configuration(name: str) -> None:
    baseline = read_baseline(ROOT / f"results/baselines/{name}.json")
    config = load_config(ROOT / f"configs/{name}.yaml", [], [], [])
    identity = config.identity()
    for free in ("share_forwards", "timing"):
        del identity[free]
    assert {key: baseline.identity[key] for key in identity} == identity
    assert "+" not in (baseline.made_by["tool"]["commit"] or "")
    assert baseline.values.column("error").isna().all()
    pairs = {method: rows.stop - rows.start for (_, method), rows in baseline.values.groups.items()}
    assert set(pairs) == set(identity["methods"])
    assert len(set(pairs.values())) == 1


STUB = """#!/usr/bin/env bash
echo "$@" >> "$LOG"
case "$3" in
  run) exit "${RUN:-0}" ;;
  table) echo "### Table" ;;
  compare) echo "verdict" >&2; echo "findings"; exit "${COMPARE:-0}" ;;
esac
"""


@pytest.fixture
def stubbed(tmp_path: Path) -> dict[str, str]:
    """An environment in which ``python -m adasise_bench`` logs what it is asked."""
    (tmp_path / "bin").mkdir()
    python = tmp_path / "bin/python"
    python.write_text(STUB)
    python.chmod(0o755)
    return os.environ | {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "LOG": str(tmp_path / "log"),
        "OUTPUT": str(tmp_path / "out"),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary"),
    }


def gate(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPTS[1], *arguments], env=environment, capture_output=True, text=True, check=False
    )


def asked(environment: dict[str, str]) -> list[str]:
    return [line.split()[2] for line in Path(environment["LOG"]).read_text().splitlines()]


@pytest.mark.parametrize(("ran", "compared", "code"), [(0, 0, 0), (0, 1, 1), (1, 0, 0), (1, 2, 2)])
def test_the_gate_ends_as_compare_does_and_always_posts_its_summary(
    stubbed: dict[str, str], ran: int, compared: int, code: int
) -> None:
    done = gate(stubbed | {"RUN": str(ran), "COMPARE": str(compared)}, "--no-speed")
    assert done.returncode == code
    assert (done.stdout, done.stderr) == ("findings\n", "verdict\n")
    assert asked(stubbed) == ["run", "table", "report", "compare"]
    assert Path(stubbed["LOG"]).read_text().rstrip().endswith("--no-speed")
    summary = Path(stubbed["GITHUB_STEP_SUMMARY"]).read_text()
    assert summary.startswith("### Table\n")
    assert summary.endswith("### Regression gate\n\n    verdict\n    findings\n")


def test_the_gate_stops_where_the_run_does(stubbed: dict[str, str]) -> None:
    assert gate(stubbed | {"RUN": "4"}).returncode == 4
    assert asked(stubbed) == ["run"]
    assert gate(stubbed).returncode == 5
    assert asked(stubbed) == ["run"]


def test_a_missing_baseline_is_made_and_one_line_says_that_nothing_was_compared(
    stubbed: dict[str, str], tmp_path: Path
) -> None:
    baseline = tmp_path / "own.json"
    done = gate(stubbed | {"BASELINE": str(baseline)}, "--or-update", "--no-speed")
    assert done.returncode == 0
    assert done.stderr == f"Nothing is compared: there was no {baseline}, and this run makes it.\n"
    assert asked(stubbed) == ["run", "baseline"]
    assert Path(stubbed["LOG"]).read_text().rstrip().endswith(f"--output {baseline}")

    baseline.touch()
    Path(stubbed["LOG"]).unlink()
    done = gate(stubbed | {"BASELINE": str(baseline), "OUTPUT": str(tmp_path / "again")}, "--or-update")
    assert (done.stdout, done.stderr) == ("findings\n", "verdict\n")
    assert asked(stubbed) == ["run", "table", "report", "compare"]


def test_a_gpu_is_not_held_against_a_cpu() -> None:
    """Between the two, pairs differ by rounding: the job makes its runner's own baseline, and keeps it."""
    job = jobs(ROOT / ".github/workflows/gpu-regression.yml")["gpu"]
    assert "results/baselines" not in job["env"]["BASELINE"]
    names = [step.get("uses", step.get("name")) for step in job["steps"]]
    cache = job["steps"][names.index("actions/cache@v4")]
    assert names.index("actions/cache@v4") < names.index("Run and compare")
    assert cache["with"]["path"] in job["env"]["BASELINE"]
    assert "scripts/regression.sh --or-update" in commands(ROOT / ".github/workflows/gpu-regression.yml")


def test_update_makes_the_baseline_instead(stubbed: dict[str, str]) -> None:
    assert gate(stubbed | {"BASELINE": "mine.json"}, "--update").returncode == 0
    assert asked(stubbed) == ["run", "baseline"]
    assert "--output mine.json" in Path(stubbed["LOG"]).read_text()
