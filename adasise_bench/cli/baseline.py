"""``adasise-bench baseline``: keeps the values of a run in one file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False),
              help="File to write. Default: results/baselines/NAME.json; NAME is the "
              "configuration's.")  # fmt: skip
@click.option("--untimed", is_flag=True, help="Leave the run-times out, for example if the machine was busy.")
def baseline(folder: Path, output: Path | None, untimed: bool) -> None:
    """Keep a run's values in one small JSON file, for `compare`.

    For every pair, the file holds the metrics, the number of feature maps kept and the run-time. It also
    holds what these depend on: settings, weights, pictures and definitions. Equal values give equal bytes.

    \b
    Examples:
      adasise-bench baseline results/regression-1a2b3c4d
      adasise-bench baseline results/table1-1a2b3c4d --output results/baselines/table1.json
    """
    from adasise_bench.records import load_run
    from adasise_bench.regression.baseline import baseline_of, write_baseline

    run = load_run(folder)
    path = output or Path("results") / "baselines" / f"{run.config['name']}.json"
    made = baseline_of(run)
    if made.unfinished:
        click.echo(
            f"{folder}: {made.unfinished}; the baseline says so, and `compare` will fail on it", err=True
        )
    write_baseline(made.untimed() if untimed else made, path)
    click.echo(path)
