"""``adasise-bench merge``: makes one run folder of the run folders of all shards."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("merge")
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR...")
def merge_(out: Path, folders: tuple[Path, ...]) -> None:
    """Join all shards of a run in the folder OUT, as if there had been one run.

    The command is refused if a shard is missing, given twice or unfinished, or if shards differ in
    configuration, weights, pictures, versions or kind of device.

    \b
    Examples:
      adasise-bench merge results/table1 results/table1-1a2b3c4d-shard-*
    """
    from adasise_bench.run.merge import merge
    from adasise_bench.utils.quantities import counted

    count = merge(out, folders)
    made, parts = counted(count, "explanation"), counted(len(folders), "shard")
    click.echo(f"{made} of {parts}, in {out}", err=True)
