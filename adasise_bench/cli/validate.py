"""``adasise-bench validate``: checks configurations without running them."""

from __future__ import annotations

from pathlib import Path

import click

from adasise_bench.cli.parameters import CONFIG_FILE
from adasise_bench.utils.errors import BenchError


@click.command()
@click.argument("configs", nargs=-1, required=True, type=CONFIG_FILE, metavar="CONFIG...")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change any key, as in `run`.")
def validate(configs: tuple[Path, ...], overrides: tuple[str, ...]) -> None:
    """Check configurations: their keys and values, and that their networks, methods and weights exist.

    CONFIG is a file, or the name of a configuration that comes with the tool. Pictures are not looked at, and
    nothing is downloaded; `run --dry-run` also looks at the pictures.

    \b
    Examples:
      adasise-bench validate mine.yaml
      adasise-bench validate table1 --set methods.sise.mu=0.3
    """
    refused: BenchError | None = None
    for path in configs:
        try:
            click.echo(_checked(path, overrides))
        except BenchError as error:
            if refused is not None:
                click.echo(f"Error: {refused}", err=True)
            refused = error
    if refused is not None:
        raise refused


def _checked(path: Path, overrides: tuple[str, ...]) -> str:
    """One line about a configuration that can be used.

    Raises:
        BenchError: it cannot be used.
    """
    from adasise_bench.run.config_file import load_config
    from adasise_bench.run.forecast.networks import refuse_absent_networks
    from adasise_bench.utils.messages import printable
    from adasise_bench.utils.quantities import counted
    from adasise_bench.utils.streams import prints_aside

    with prints_aside():
        config = load_config(path, overrides)
        refuse_absent_networks(config)
    models, methods = counted(len(config.models), "model"), counted(len(config.methods), "method")
    return printable(f"{path}: can be used; {models}, {methods}")
