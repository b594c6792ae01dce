"""``adasise-bench export``: writes results in the formats of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

_FORMATS = ("card", "every-eval-ever", "trackio")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--to", "fmt", required=True, type=click.Choice(_FORMATS), help="The format.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for the files. Default: export-NAME, NAME being the first run folder's; for "
              "trackio, the folder that it uses on this machine.")  # fmt: skip
@click.option("--organization", default="unknown", show_default=True, metavar="NAME",
              help="Who ran the evaluation; every-eval-ever records it.")  # fmt: skip
def export(folders: tuple[Path, ...], fmt: str, output: Path | None, organization: str) -> None:
    """Write the values of Table 1 in the format of another program. Nothing is sent anywhere.

    \b
    card             one Markdown file for each network, with the YAML head of a model hub's card
    every-eval-ever  one JSON file for each network, by the schema of Every Eval Ever
    trackio          one run for each network and method in a local trackio project

    Several folders are joined as `table` joins them. What was written is printed.

    \b
    Examples:
      adasise-bench export results/table1-1a2b3c4d --to card
      adasise-bench export results/table1-1a2b3c4d --to every-eval-ever --organization "My lab"
      adasise-bench export results/table1-1a2b3c4d --to trackio
    """
    from adasise_bench.utils.messages import terminal

    for written in _exported(folders, fmt, output, organization):
        click.echo(terminal(written))


def _exported(folders: tuple[Path, ...], fmt: str, output: Path | None, organization: str) -> Iterator[str]:
    from adasise_bench.records import load_run
    from adasise_bench.reporting.export.card import write_card
    from adasise_bench.reporting.export.every_eval_ever import write_log
    from adasise_bench.reporting.export.scores import results_of
    from adasise_bench.reporting.export.tracker import log_runs

    name = folders[0].resolve().name
    place = output or Path(f"export-{name}")
    for results in results_of([load_run(folder) for folder in folders]):
        if fmt == "card":
            yield str(write_card(results, place))
        elif fmt == "every-eval-ever":
            yield str(write_log(results, place, organization))
        else:
            yield from log_runs(results, name, output)
