"""``adasise-bench info`` as a user meets it."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner

from adasise_bench.cli import main
from adasise_bench.run import system_info


def test_text_and_json_tell_the_same() -> None:
    text, tree = (CliRunner().invoke(main, ["info", *options]) for options in ([], ["--json"]))
    assert (text.exit_code, tree.exit_code) == (0, 0)
    facts = json.loads(tree.stdout)
    assert facts["versions"]["torch"] == torch.__version__
    del facts["machine"]["memory"]  # it varies from moment to moment
    lines = text.stdout.splitlines()
    for section, named in facts.items():
        assert section.capitalize() in lines
        for name, value in named.items():
            assert f"  {name:22} {value}" in lines
    assert "Error" not in text.output


def test_what_a_driver_says_cannot_move_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(system_info, "nvidia_driver", lambda: "1\x1b[2J\n::error::x")
    result = CliRunner().invoke(main, ["info"])
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert not any(line.startswith("::") for line in result.output.splitlines())
