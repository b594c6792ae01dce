"""``adasise-bench baseline``: the values of a run in one file."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False),
              help="Default: results/baselines/NAME.json, after the configuration.")  # fmt: skip
@click.option("--untimed", is_flag=True, help="Leave run-times out, for one of a machine that was busy.")
def baseline(folder: Path, output: Path | None, untimed: bool) -> None:
    """Keep a run's values in one small JSON file, for `compare`.

    It holds every pair's measures, feature maps kept and run-time, and what they are of: settings, weights,
    pictures, definitions. Equal values give equal bytes.

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
        click.echo(f"{folder}: {made.unfinished}; the baseline says so, and compare fails on it", err=True)
    write_baseline(made.untimed() if untimed else made, path)
    click.echo(path)
