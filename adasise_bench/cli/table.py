"""``adasise-bench table``: prints Table 1 and Table 2 from run folders."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.cli.rendering import RenderingOptions, rendering_options, show

if TYPE_CHECKING:
    from adasise_bench.reporting.tables import Grouping
    from adasise_bench.reporting.tables.look import Notes


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--methods", type=COMMA_LIST, default="",
              help="Show only these methods, in this order. Default: all, in the configuration's order, but "
              "controls last.")  # fmt: skip
@click.option("--metrics", type=COMMA_LIST, default="",
              help="Rows of Table 1, in this order; `ls` lists them. Default: ebpg, bbox, drop, increase, "
              "miou, seconds, and those that a run's configuration asked for.")  # fmt: skip
@click.option("--against", metavar="LABEL",
              help="Add the paired differences of all other methods from this method.")  # fmt: skip
@click.option("--by", type=click.Choice(["class", "size", "score", "outcome"]),
              help="Print one table per metric instead, with a row per class, object size, range of the "
              "score, or outcome: the class is ranked first, among the first five, or below.")  # fmt: skip
@rendering_options
def table(
    folders: tuple[Path, ...],
    methods: list[str],
    metrics: list[str],
    against: str | None,
    by: Grouping | None,
    **look: Unpack[RenderingOptions],
) -> None:
    """Print Table 1 and Table 2 from run folders, with the published values beside the measured ones.

    Means have 95 % bootstrap intervals over images. If several folders are given, each value comes from the
    first folder that has it, so that an accuracy run and a run-time run can fill one table. In csv, an
    apostrophe is put before a name that a spreadsheet would take for a formula.

    \b
    Examples:
      adasise-bench table results/table1-1a2b3c4d
      adasise-bench table results/runtime-5e6f7a8b results/table1-1a2b3c4d --format latex --output table.tex
      adasise-bench table results/table1-1a2b3c4d --format latex --width column --intervals pm --no-notes
      adasise-bench table results/table1-1a2b3c4d --methods ada_sise,sise --against sise
      adasise-bench table results/table1-1a2b3c4d --by size --metrics ebpg,drop --against sise
    """
    from adasise_bench.records import load_run
    from adasise_bench.reporting.tables import build_tables

    runs = [load_run(folder) for folder in folders]
    show(build_tables(runs, metrics=metrics, methods=methods, by=by, against=against), look)


def tables_text(folder: Path, fmt: str = "terminal", notes: Notes = "few") -> str:
    """The tables of a run folder, as ``table`` prints them without further options."""
    from adasise_bench.records import load_run
    from adasise_bench.reporting.tables import build_tables
    from adasise_bench.reporting.tables.formats import render
    from adasise_bench.reporting.tables.look import WIDTH, Look
    from adasise_bench.utils.text_tables import terminal_width

    return render(build_tables([load_run(folder)]), fmt, terminal_width() or WIDTH, Look(notes=notes))
