"""``adasise-bench table``: Table 1 and Table 2 from run folders."""

from __future__ import annotations

from pathlib import Path

import click

FORMATS = ("terminal", "md", "latex", "csv", "json")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--format", "fmt", type=click.Choice(FORMATS), default="terminal", show_default=True)
def table(folders: tuple[Path, ...], fmt: str) -> None:
    """Print Table 1 and Table 2 from run folders, measured beside published.

    With several folders, each value comes from the first folder that has it, so that an accuracy run and
    a run-time run fill one table.

    \b
    Examples:
      adasise-bench table results/table1-1a2b3c4d
      adasise-bench table results/table1-1a2b3c4d results/runtime-5e6f7a8b --format latex > table.tex
    """
    click.echo(tables_text(list(folders), fmt))


def tables_text(folders: list[Path], fmt: str) -> str:
    """The tables of run folders in one of :data:`FORMATS`."""
    from adasise_bench.render import render
    from adasise_bench.runs import load_run
    from adasise_bench.tables import build_tables

    return render(build_tables([load_run(folder) for folder in folders]), fmt)
