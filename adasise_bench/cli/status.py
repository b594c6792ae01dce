"""``adasise-bench status``: says how far a run is, from another terminal."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list with an object for each folder.")
def status(folders: tuple[Path, ...], as_json: bool) -> None:
    """Say how far runs are, and whether they are running, finished or dead.

    Records are counted: one for each explanation of a class of a picture by a method on a network.

    \b
    Examples:
      adasise-bench status results/table1-1a2b3c4d
      watch adasise-bench status results/table1-1a2b3c4d-shard-*
    """
    import time

    from adasise_bench.run.status import describe_status, read_status, status_facts
    from adasise_bench.utils.messages import json_text

    found = [read_status(folder) for folder in folders]
    if as_json:
        click.echo(json_text([status_facts(one, time.time()) for one in found]))
    else:
        click.echo("\n\n".join(describe_status(one, time.time()) for one in found))
