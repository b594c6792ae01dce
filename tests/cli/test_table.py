"""The options of `table`, and those that it shares with `chance` and `accuracy`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from adasise_bench.cli import main
from adasise_bench.cli.rendering import FORMATS

FOLDER = Path(__file__).parents[1] / "golden" / "run_folder"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_file_holds_what_would_be_printed(tmp_path: Path, fmt: str) -> None:
    path = tmp_path / "paper" / f"table.{fmt}"
    printed = call("table", FOLDER, "--format", fmt)
    written = call("table", FOLDER, "--format", fmt, "--output", path)
    assert written.exit_code == 0
    assert written.stdout == f"{path}\n"
    assert path.read_text(encoding="utf-8") == printed.stdout.removesuffix("\n")


def test_a_file_that_cannot_be_written_ends_in_exit_code_5(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = call("table", FOLDER, "--output", tmp_path / "file" / "table.txt")
    assert result.exit_code == 5
    assert len(result.stderr.splitlines()) == 1


def test_methods_stand_as_they_are_named() -> None:
    result = call("table", FOLDER, "--methods", "ada_sise, sise", "--format", "json")
    assert json.loads(result.stdout)["tables"][0]["columns"] == ["ada_sise", "sise"]
    unknown = call("table", FOLDER, "--methods", "sies")
    assert unknown.exit_code == 2
    assert "did you mean 'sise'" in unknown.stderr


def test_latex_is_as_wide_as_asked_for() -> None:
    latex = ("table", FOLDER, "--format", "latex")
    column = call(*latex, "--width", "column", "--intervals", "pm", "--no-notes")
    assert r"\begin{table}" in column.stdout
    assert r"$\pm$" in column.stdout
    assert "best measured" not in column.stdout
    assert r"\begin{table*}" in call(*latex).stdout


def test_notes_are_few_all_or_none() -> None:
    few, every, none = (
        call("table", FOLDER, *options).stdout for options in ([], ["--notes", "all"], ["--no-notes"])
    )
    assert "more notes: table --notes all" in few
    assert "Definitions: " in every
    assert "Definitions: " not in few
    assert "best measured" not in none
    both = call("table", FOLDER, "--notes", "all", "--no-notes")
    assert (both.exit_code, both.stderr) == (2, "Error: --notes and --no-notes: give one of them\n")


@pytest.mark.parametrize("command", ["table", "chance", "accuracy"])
def test_all_commands_that_print_tables_take_the_same_options(command: str) -> None:
    text = call(command, "--help").stdout
    assert all(option in text for option in ("--width", "--intervals", "--notes", "--no-notes", "--output"))
