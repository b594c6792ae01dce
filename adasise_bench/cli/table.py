"""``adasise-bench table``: Table 1 and Table 2 from run folders."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from adasise_bench.reporting.tables import Grouping

_NARROWEST = 60

FORMATS = ("terminal", "md", "latex", "csv", "json")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--format", "fmt", type=click.Choice(FORMATS), default="terminal", show_default=True)
@click.option("--metrics", default="", metavar="A,B",
              help="Rows of Table 1, in this order: ebpg, bbox, drop, increase, miou, seconds (these by "
              "default, and those below that a run's configuration asked for); "
              "pointing, pointing_difficult, average_gain, insertion, deletion, head_sensitivity; "
              "seconds_median, seconds_p90, forwards, peak_memory.")  # fmt: skip
@click.option("--against", metavar="LABEL",
              help="Add the paired differences of all other methods from this one.")  # fmt: skip
@click.option("--by", type=click.Choice(["class", "size", "score", "outcome"]),
              help="Instead, one table per metric with a row per class, object size, range of the "
              "score, or outcome: the class ranked first, among the first five, or below.")  # fmt: skip
def table(
    folders: tuple[Path, ...], fmt: str, metrics: str, against: str | None, by: Grouping | None
) -> None:
    """Print Table 1 and Table 2 from run folders, measured beside published.

    In csv, an apostrophe stands before a name that a spreadsheet would take for a formula.

    Means stand with their 95 % bootstrap intervals over images. With several folders, each value comes from
    the first folder that has it, so that an accuracy run and a run-time run fill one table.

    \b
    Examples:
      adasise-bench table results/table1-1a2b3c4d
      adasise-bench table results/runtime-5e6f7a8b results/table1-1a2b3c4d --format latex > table.tex
      adasise-bench table results/table1-1a2b3c4d --against sise
      adasise-bench table results/table1-1a2b3c4d --by size --metrics ebpg,drop --against sise
    """
    names = [name.strip() for name in metrics.split(",") if name.strip()]
    click.echo(tables_text(list(folders), fmt, metrics=names, by=by, against=against))


def tables_text(
    folders: list[Path],
    fmt: str,
    *,
    metrics: list[str] | None = None,
    by: Grouping | None = None,
    against: str | None = None,
) -> str:
    """The tables of run folders in one of :data:`FORMATS`; the options are those of ``build_tables``."""
    from adasise_bench.records.run import load_run
    from adasise_bench.reporting.tables import build_tables
    from adasise_bench.reporting.tables.formats import render

    runs = [load_run(folder) for folder in folders]
    tables = build_tables(runs, metrics=metrics or (), by=by, against=against)
    return render(tables, fmt, terminal_width())


def terminal_width() -> int:
    """Letters in a line of the terminal that the tables go to; files get the same everywhere."""
    from adasise_bench.reporting.tables.formats import WIDTH

    if not sys.stdout.isatty():
        return WIDTH
    return max(shutil.get_terminal_size((WIDTH, 0)).columns, _NARROWEST)
