"""``adasise-bench report``: one HTML file to look at."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False),
              help="The file to write. Default: report.html in the first folder.")  # fmt: skip
def report(folders: tuple[Path, ...], output: Path | None) -> None:
    """Write one self-contained HTML file: tables, figures, provenance, and every pair to look at.

    The file needs no network and no server. Maps are in it where the runs saved them (--save-maps); the
    pictures are read from where the runs' configurations say. Several folders are joined as by `table`.

    \b
    Examples:
      adasise-bench report results/quickstart-1a2b3c4d
      adasise-bench report results/runtime-5e6f7a8b results/table1-1a2b3c4d --output table1.html
    """
    from adasise_bench.records import load_run
    from adasise_bench.reporting.report.page import write_report

    path = output or folders[0] / "report.html"
    write_report([load_run(folder) for folder in folders], path)
    click.echo(path)
