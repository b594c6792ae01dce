"""``adasise-bench report``: writes the results as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False),
              help="File to write. Default: report.html in the first folder.")  # fmt: skip
def report(folders: tuple[Path, ...], output: Path | None) -> None:
    """Write one HTML file with tables, figures, provenance, and every pair to look at.

    The file needs no other file, no internet and no server. It shows saliency maps if the runs saved them
    (--save-maps). The pictures are read from where the runs' configurations say. Several folders are joined
    as `table` joins them.

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
