"""``adasise-bench export``: writes results in the formats of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adasise_bench.utils.errors import ConfigError

if TYPE_CHECKING:
    from adasise_bench.reporting.export.scores import NetworkResults

_FORMATS = ("card", "every-eval-ever", "trackio")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--to", "fmt", required=True, type=click.Choice(_FORMATS), help="The format.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for the files. Default: export-NAME, NAME being the first run folder's; for "
              "trackio, the folder that it uses on this machine.")  # fmt: skip
@click.option("--organization", metavar="NAME",
              help="Who ran the evaluation; every-eval-ever records it. Default: unknown.")  # fmt: skip
@click.option("--update", is_flag=True,
              help="Replace files that are there and say something else, such as those that you "
              "changed.")  # fmt: skip
def export(
    folders: tuple[Path, ...], fmt: str, output: Path | None, organization: str | None, update: bool
) -> None:
    """Write the values of Table 1 in the format of another program. Nothing is sent anywhere.

    \b
    card             one Markdown file for each network, with the YAML head of a model hub's card
    every-eval-ever  one JSON file for each network, by the schema of Every Eval Ever
    trackio          one run for each network and method in a local trackio project

    Several folders are joined as `table` joins them. What was written is printed. A file that is there and
    says something else is replaced only with --update.

    \b
    Examples:
      adasise-bench export results/table1-1a2b3c4d --to card
      adasise-bench export results/table1-1a2b3c4d --to every-eval-ever --organization "My lab"
      adasise-bench export results/table1-1a2b3c4d --to trackio
    """
    from adasise_bench.records import load_run
    from adasise_bench.reporting.export.scores import results_of
    from adasise_bench.utils.messages import terminal

    _refuse_idle_options(fmt, organization, update)
    results = results_of([load_run(folder) for folder in folders])
    for folder in folders:
        _say_what_is_missing(folder)
    for written in _exported(results, fmt, folders[0].resolve().name, output, organization, update):
        click.echo(terminal(written))


def _refuse_idle_options(fmt: str, organization: str | None, update: bool) -> None:
    """Refuse options that the format has no use for, and a name that is blank."""
    from adasise_bench.utils.messages import printable

    if organization is not None and fmt != "every-eval-ever":
        raise ConfigError("--organization: only --to every-eval-ever records it; leave it out")
    if organization is not None and not printable(organization).strip():
        raise ConfigError("--organization: give a name, or leave it out")
    if update and fmt == "trackio":
        raise ConfigError("--update: trackio adds runs and replaces none; leave it out")


def _say_what_is_missing(folder: Path) -> None:
    from adasise_bench.run.status import read_status
    from adasise_bench.utils.messages import terminal

    counts = read_status(folder).counts
    made, planned = sum(count.made for count in counts), sum(count.planned for count in counts)
    if made < planned:
        told = f"{folder}: the values are those of {made:,} of {planned:,} explanations; the rest is missing"
        click.echo(terminal(told), err=True)


def _exported(
    results: list[NetworkResults],
    fmt: str,
    name: str,
    output: Path | None,
    organization: str | None,
    update: bool,
) -> Iterator[str]:
    from adasise_bench.reporting.export.card import card_file
    from adasise_bench.reporting.export.every_eval_ever import log_file
    from adasise_bench.reporting.export.files import write_files
    from adasise_bench.reporting.export.tracker import log_runs

    place = output or Path(f"export-{name}")
    if fmt == "trackio":
        for network in results:
            yield from log_runs(network, name, output)
    elif fmt == "card":
        yield from map(str, write_files([card_file(network, place) for network in results], update=update))
    else:
        files = [log_file(network, place, organization or "unknown") for network in results]
        yield from map(str, write_files(files, update=update))
