"""``adasise-bench status``: says how far a run is, from another terminal."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
def status(folders: tuple[Path, ...]) -> None:
    """Say how far runs are, and whether they are running, finished or dead.

    \b
    Examples:
      adasise-bench status results/table1-1a2b3c4d
      watch adasise-bench status results/table1-1a2b3c4d-shard-*
    """
    import time

    from adasise_bench.run.status import describe_status, read_status

    click.echo("\n\n".join(describe_status(read_status(folder), time.time()) for folder in folders))
