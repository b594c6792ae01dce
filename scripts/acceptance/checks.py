"""Steps that look at the machine and run the tests that need a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import torch

from adasise_bench.records import environment as facts

from .materials import Setup
from .results import Row
from .runs import ROOT


def environment(setup: Setup) -> Iterator[Row]:
    """Card, driver and versions."""
    device = setup.torch_device
    found = facts.describe(device, "fp32", {})
    tool = found.pop("tool")
    del found["definitions"], found["precision"]
    found |= {"tool": tool["version"], "commit": tool["commit"], "cores": os.cpu_count()}
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "compute capability": ".".join(map(str, torch.cuda.get_device_capability(device))),
            "GPU memory, GB": properties.total_memory / 1e9,
            "cuDNN": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    for name, value in found.items():
        yield {"what": name, "value": value}


def gpu_tests(setup: Setup) -> Iterator[Row]:
    """The tests that need a GPU; without one they say that they were skipped."""
    report = Path(setup.work) / "gpu-tests.xml"
    command = [
        sys.executable, "-m", "pytest", "-q", "-m", "gpu", "-p", "no:cacheprovider", "tests/gpu",
        "--ignore=tests/gpu/test_gpu_fused_masks.py", f"--junitxml={report}",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if not report.exists():
        raise RuntimeError(
            f"pytest ended with exit code {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}"
        )
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314  # written by the pytest just started
        outcome = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        message = "" if outcome is None else " ".join((outcome.get("message") or "").split())[:300]
        yield {
            "test": case.get("name"),
            "result": "passed" if outcome is None else outcome.tag,
            "seconds": float(case.get("time", 0)),
            "message": message,
        }
