"""Idle threads of torch are told to sleep before torch is there, and never against the user's word."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from adasise_bench.utils.idle_threads import let_idle_threads_sleep

ASK = """
import os, sys
from adasise_bench.cli import main
assert "torch" not in sys.modules
main(["ls", "metrics"], standalone_mode=False)
print(os.environ.get("GOMP_SPINCOUNT"), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("GOMP_SPINCOUNT", "7", "7"), ("OMP_WAIT_POLICY", "ACTIVE", None), ("OMP_NUM_THREADS", "2", "10000")],
)
def test_what_the_user_says_counts(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, expected: str | None
) -> None:
    monkeypatch.setattr(os, "environ", {name: value})
    let_idle_threads_sleep()
    assert os.environ.get("GOMP_SPINCOUNT") == expected


def test_every_command_sets_it_before_torch_is_imported() -> None:
    environment = {
        name: value for name, value in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    }
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "10000"
