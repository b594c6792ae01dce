"""The acceptance of a GPU: every step works without one, and what happens to one step costs no other."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts/gpu_acceptance.sh"
sys.path.insert(0, str(ROOT / "scripts"))

import gpu_acceptance  # noqa: E402
from acceptance import materials, page, targets  # noqa: E402
from acceptance.results import Results  # noqa: E402


def accept(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable}
    return subprocess.run([SCRIPT, *arguments], env=environment, capture_output=True, text=True, check=False)


def results_in(folder: Path) -> dict[str, Any]:
    (path,) = folder.glob("*.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_step_works_without_a_gpu(tmp_path: Path) -> None:
    kept = list((ROOT / "results/gpu").glob("*"))
    done = accept("--device", "cpu", "--quick", "--minutes", "15", "--output", str(tmp_path))
    steps = results_in(tmp_path)["steps"]
    assert list(steps) == [step.name for step in gpu_acceptance.STEPS]
    compiled = steps.pop("compiled")
    assert (
        compiled["status"] == "done" or "error" in compiled["rows"][-1]
    )  # not every machine has a C++ compiler
    assert {name: step["status"] for name, step in steps.items()} == dict.fromkeys(steps, "done"), done.stdout
    assert all(step["rows"] for step in steps.values())
    assert {row["method"] for row in steps["speed"]["rows"]} == {"sise", "ada_sise"}
    assert all(row["efficiency"] > 0 for row in steps["speed"]["rows"])
    assert {row["verdict"] for row in steps["quickstart"]["rows"][1:]} == {"passed"}
    assert steps["table1"]["rows"][0]["hours for this network's part of Table 1"] > 0
    assert all(row["values equal"] and row["maps equal"] for row in steps["determinism"]["rows"])
    assert [row["what"] for row in steps["peers"]["rows"]][-2:] == ["TorchRay RISE", "torchcam Score-CAM"]
    (written,) = tmp_path.glob("*.md")
    assert written.read_text().count("\n## ") == len(gpu_acceptance.STEPS)
    assert kept == list((ROOT / "results/gpu").glob("*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_without_a_gpu_one_line_says_so(tmp_path: Path) -> None:
    done = accept("--output", str(tmp_path))
    assert done.returncode == 4
    assert done.stderr.count("\n") == 1
    assert "no such GPU" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--device", "cpu"], "--output"),
        (["--device", "cpu", "--output", "{}", "--steps", "speed,none"], "'none'"),
        (["--device", "cpu", "--output", "{}", "--resnet50", "absent.pth"], "absent.pth"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    arguments: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert gpu_acceptance.main([text.format(tmp_path) for text in arguments]) == 2
    assert named in capsys.readouterr().err


@pytest.fixture
def results(tmp_path: Path) -> Results:
    found = Results(tmp_path / "card.json")
    setup = {"device": "cpu", "quick": True, "networks": [], "work": str(tmp_path)}
    facts = {"card": "Card", "made": "today", "commit": "c", "torch": "2", "setup": setup}
    found.create(facts, {name: f"The {name} step" for name in ("speed", "memory")})
    return found


CHILD = """
import os, sys, time
sys.path.insert(0, {scripts!r})
from pathlib import Path
from acceptance.results import Results
results = Results(Path(sys.argv[sys.argv.index("--results") + 1]))
results.add(sys.argv[sys.argv.index("--step") + 1], {{"seconds": 1.5}})
{then}
"""


@pytest.mark.parametrize(
    ("then", "status", "message"),
    [
        ("", "done", ""),
        ("time.sleep(60)", "cut short", ""),
        ("os.abort()", "failed", ""),
        ("sys.exit('it broke')", "failed", "it broke"),
        ("results.add('speed', {'error': 'no'})", "found faults", ""),
    ],
)
def test_a_step_that_ends_badly_keeps_its_rows_and_says_how_it_ended(
    then: str, status: str, message: str, results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = tmp_path / "child.py"
    child.write_text(CHILD.format(scripts=str(ROOT / "scripts"), then=then))
    monkeypatch.setattr(gpu_acceptance, "__file__", str(child))
    begun = time.monotonic()
    gpu_acceptance.run_step("speed", results, 8, tmp_path)
    assert time.monotonic() - begun < 30
    step = results.read()["steps"]["speed"]
    assert step["status"] == status
    assert step["rows"][0] == {"seconds": 1.5}
    assert message in step["message"]
    assert results.read()["steps"]["memory"]["status"] == "not reached"


def test_a_step_without_time_is_not_begun(results: Results, tmp_path: Path) -> None:
    gpu_acceptance.run_step("speed", results, 0.5, tmp_path)
    assert results.read()["steps"]["speed"]["status"] == "not reached"


def test_the_steps_take_seven_minutes_at_most_with_the_installation_between_them() -> None:
    assert sum(step.seconds for step in gpu_acceptance.STEPS) <= 60 * 7


@pytest.mark.parametrize(
    "row",
    [{"error": "out of memory"}, {"verdict": "failed"}, {"result": "failure"}, {"maps equal": False}],
)
def test_faults_are_seen(row: dict[str, Any]) -> None:
    assert gpu_acceptance.is_fault(row)
    assert not gpu_acceptance.is_fault({"error": None, "verdict": "passed", "maps equal": True})


def test_targets_take_the_best_row_that_fits() -> None:
    about = {"network": "resnet50", "method": "sise"}
    speed = [
        about | {"precision": "bf16", "seconds": 0.3, "efficiency": 0.95},
        about | {"precision": "fp16", "seconds": 0.19, "efficiency": 0.85},
        about | {"precision": "fp32", "seconds": 0.7, "error": None},
    ]
    hours = "hours for this network's part of Table 1"
    table1 = [{"network": "resnet50", hours: 3.0}, {"network": "vgg16", hours: 6.0}]
    optimised = [
        {"network": network, "seconds for 800 iterations": seconds, "times TorchRay": 90 * seconds}
        for network, seconds in (("scenes_vgg", 0.1), ("resnet50", 1.6))
    ]
    steps = {
        "speed": {"rows": speed}, "table1": {"rows": table1}, "perturbation": {"rows": optimised}
    }  # fmt: skip
    verdicts = {row["target"]: (row["measured"], row[""]) for row in targets.judged(steps)}
    assert verdicts["seconds of sise on resnet50 in bf16 or fp16"] == (0.19, "reached")
    assert verdicts["seconds of sise on resnet50 in fp32"] == (0.7, "missed")
    assert verdicts["efficiency of sise on resnet50 in fp16"] == (0.85, "missed")
    assert verdicts["seconds of sise on vgg16 in bf16 or fp16"] == (None, "open: not measured")
    assert verdicts["hours for all of Table 1"] == (9.0, "missed")
    whole = "seconds of Extremal Perturbation per explanation, the best of its ways"
    assert verdicts[whole] == (1.6, "missed")  # the drawn scenes' small network has no target
    del table1[1]
    assert targets.judged(steps)[-1][""] == "open: not measured"


def test_the_random_vgg16_loads_and_the_page_calls_it_a_stand_in(tmp_path: Path, results: Results) -> None:
    from adasise_bench.models.loading import load_classifier

    found = materials.networks(tmp_path, None, None, tmp_path)
    assert [network.name for network in found] == ["vgg16"]
    classifier = load_classifier(
        "vgg16", checkpoint=found[0].path, sha256=None, blocks="pool-input", resize="stretch",
        score="softmax", precision="fp32", device=torch.device("cpu"),
    )  # fmt: skip
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 60
    assert 0.001 < float(classifier.scores(image).min()) < float(classifier.scores(image).max()) < 0.9
    content = results.read()
    content["setup"] |= {"networks": [{"name": "vgg16", "weights": found[0].weights}], "device": "cuda"}
    text = page.markdown(content | {"steps": {}})
    assert "STAND-IN: random numbers" in text
    assert "Values of stand-ins are not to be held against the papers'" in text


def test_git_keeps_the_results_of_gpus() -> None:
    path = "results/gpu/card.json"
    ignored = subprocess.run(["git", "check-ignore", path], cwd=ROOT, capture_output=True, check=False)
    assert ignored.returncode == 1
