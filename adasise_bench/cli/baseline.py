"""``adasise-bench baseline``: keeps the values of a run in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from adasise_bench.utils.errors import DataError, OutputError

if TYPE_CHECKING:
    from adasise_bench.regression.baseline import Baseline


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False),
              help="File to write. Default: results/baselines/NAME.json; NAME is the "
              "configuration's.")  # fmt: skip
@click.option("--update", is_flag=True, help="Replace the file if there is one.")
@click.option("--untimed", is_flag=True, help="Leave the run-times out, for example if the machine was busy.")
def baseline(folder: Path, output: Path | None, update: bool, untimed: bool) -> None:
    """Keep a run's values in one small JSON file, for `compare`.

    For every pair, the file holds the metrics, the number of feature maps kept and the run-time. It also
    holds what these depend on: settings, weights, pictures and definitions. Equal values give equal bytes.

    If there is a file already, the command says what differs, and replaces it only with --update.

    \b
    Examples:
      adasise-bench baseline results/regression-1a2b3c4d
      adasise-bench baseline results/table1-1a2b3c4d --output results/baselines/table1.json
      adasise-bench baseline results/table1-5e6f7a8b --output results/baselines/table1.json --update
    """
    from adasise_bench.records import load_run
    from adasise_bench.regression.baseline import baseline_of
    from adasise_bench.regression.baseline_file import write_baseline

    run = load_run(folder)
    path = output or Path("results") / "baselines" / f"{run.config['name']}.json"
    made = baseline_of(run)
    if made.unfinished:
        click.echo(
            f"{folder}: {made.unfinished}; the baseline says so, and `compare` will fail on it", err=True
        )
    made = made.untimed() if untimed else made
    if path.exists():
        _say_what_changes(path, made)
        if not update:
            raise OutputError(f"{path}: exists, and is left as it is; --update replaces it")
    write_baseline(made, path)
    click.echo(path)


def _say_what_changes(path: Path, made: Baseline) -> None:
    """Print in what a new baseline differs from the one in a file."""
    from adasise_bench.regression.baseline_file import read_baseline
    from adasise_bench.regression.changes import changes
    from adasise_bench.utils.messages import printable, terminal

    try:
        lines = list(changes(read_baseline(path), made)) or ["no value differs"]
    except DataError as error:
        lines = [str(error)]
    for line in lines:
        click.echo(terminal(printable(line)), err=True)
