"""The types of options that several commands have."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from adasise_bench.cli import main
from adasise_bench.cli.parameters import COMMA_LIST


@click.command()
@click.option("--names", type=COMMA_LIST, default="sise,rise", show_default=True)
@click.option("--devices", type=COMMA_LIST)
def command(names: list[str], devices: list[str] | None) -> None:
    click.echo(f"{names} {devices}")


@pytest.mark.parametrize(
    ("given", "names"),
    [("a,b", ["a", "b"]), (" b , a,", ["b", "a"]), ("", []), (",", []), ("a", ["a"]), ("a,a", ["a", "a"])],
)
def test_names_stand_between_commas(given: str, names: list[str]) -> None:
    assert CliRunner().invoke(command, ["--names", given]).output == f"{names} None\n"


def test_the_default_is_a_list_as_well() -> None:
    assert CliRunner().invoke(command, []).output == "['sise', 'rise'] None\n"
    assert CliRunner().invoke(command, ["--devices", ""]).output == "['sise', 'rise'] []\n"
    assert "--names A,B    [default: sise,rise]" in CliRunner().invoke(command, ["--help"]).output


@pytest.mark.parametrize("command", ["run", "table", "explain", "compare", "figure phases", "figure maps"])
def test_every_command_shows_its_lists_in_the_same_way(command: str) -> None:
    text = CliRunner().invoke(main, [*command.split(), "--help"]).output
    assert "--methods A,B" in text or "--metrics A,B" in text
