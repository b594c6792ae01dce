"""``adasise-bench accuracy``: how well the networks classify, without explanations."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from adasise_bench.cli.parameters import COMMA_LIST, CONFIG_FILE
from adasise_bench.cli.rendering import RenderingOptions, rendering_options, show
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.streams import prints_aside


@click.command()
@click.option("--config", "config_path", required=True, type=CONFIG_FILE,
              help="Configuration of a run, as in `run`; its methods are not used.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Override any key, e.g. data.root=/data.")  # fmt: skip
@click.option("--models", type=COMMA_LIST, default="", help="Use only these models of the configuration.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after the first N pictures.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps.")
@rendering_options
def accuracy(
    config_path: Path,
    overrides: tuple[str, ...],
    models: list[str],
    limit: int | None,
    device: str | None,
    **look: Unpack[RenderingOptions],
) -> None:
    """Measure how well the networks classify the pictures of a configuration.

    Prints the mean average precision over the classes, and how often a class of the picture has the highest
    score or one of the five highest, beside the accuracies that the papers print. Nothing is explained, and
    nothing is written; `table` shows the same for the pictures of a run.

    \b
    Examples:
      adasise-bench accuracy --config table1
      adasise-bench accuracy --config table1 --models resnet50 --limit 200 --format json
    """
    from adasise_bench.run.accuracy import measure_accuracy
    from adasise_bench.run.config_file import load_config

    flags = {"limit": limit, "device": device}
    settings = [f"{key}={value}" for key, value in flags.items() if value is not None]
    with prints_aside():
        config = load_config(config_path, [*overrides, *settings], models, [])
        tables, errors = measure_accuracy(config)
    show(tables, look)
    if errors > config.tolerated_errors:
        raise BenchError(f"{errors} of the images cannot be used; a note under the table says why of one")
