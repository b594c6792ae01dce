"""``adasise-bench chance``: what one gets without looking at the picture."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from adasise_bench.cli.parameters import CONFIG_FILE
from adasise_bench.cli.rendering import RenderingOptions, rendering_options, show
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.streams import prints_aside


@click.command()
@click.option("--config", "config_path", required=True, type=CONFIG_FILE,
              help="Configuration that names the data, as in `run`; its networks and methods are not "
              "used.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override any key, as in `run`.")
@click.option(
    "--by", type=click.Choice(["class"]), help="Instead, one table per metric with a row per class."
)
@rendering_options
def chance(
    config_path: Path, overrides: tuple[str, ...], by: str | None, **look: Unpack[RenderingOptions]
) -> None:
    """Print chance levels: what maps get that are the same for every picture.

    EBPG, Bbox, mIoU and the pointing game of a uniform map, a Gaussian in the middle, single pixels, and the
    maps that are best for each metric. It reads annotations only: neither pictures nor a network are needed.

    \b
    Examples:
      adasise-bench chance --config table1 --set data.root=/data/voc
      adasise-bench chance --config table1 --set data.root=/data/voc --by class --format csv
    """
    from adasise_bench.reporting.tables.chance import chance_tables
    from adasise_bench.run.chance import chance_levels
    from adasise_bench.run.config_file import load_config

    with prints_aside():
        config = load_config(config_path, overrides)
    levels = chance_levels(config)
    show(chance_tables(levels, by_class=by is not None), look)
    if (unusable := len(levels.unusable)) > config.tolerated_errors:
        raise BenchError(
            f"{unusable} of the annotations cannot be used; a note under the table says why of one"
        )
