"""``adasise-bench measure``: computes the metrics of maps that are there already."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from adasise_bench.cli.parameters import COMMA_LIST, CONFIG_FILE
from adasise_bench.cli.run import carry_out
from adasise_bench.utils.errors import ConfigError, OutputError
from adasise_bench.utils.streams import prints_aside


@click.command()
@click.argument("maps", type=click.Path(path_type=Path))
@click.option("--config", "config_path", required=True, type=CONFIG_FILE,
              help="Configuration that names data, networks and settings, as in `run`; its methods are "
              "not used.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Change any setting, as in `run`, e.g. extra_metrics=[insertion,deletion].")  # fmt: skip
@click.option("--models", type=COMMA_LIST, default="", help="Use only these models of the configuration.")
@click.option("--methods", type=COMMA_LIST, default="", help="Measure only the maps of these methods.")
@click.option("--method-name", metavar="LABEL",
              help="The name of the method of a folder IMAGE/CLASS. Default: the folder's.")  # fmt: skip
@click.option("--resize", is_flag=True,
              help="Resize maps that do not have the input's size: bilinearly, without aligned "
              "corners.")  # fmt: skip
@click.option("--negative", type=click.Choice(["refuse", "clamp"]), default="refuse", show_default=True,
              help="Count a map with negative values as an error, or the values as 0.")  # fmt: skip
@click.option("--limit", type=click.IntRange(min=1), help="Stop after the first N pictures.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps. Default: the configuration's.")
@click.option("--devices", type=COMMA_LIST, metavar="LIST", help="One worker for each device, as in `run`.")
@click.option("--shard", metavar="I/N", help="Measure only part I of N of the pictures, as in `run`.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Run folder. Default: results/measured-NAME-DIGEST.")  # fmt: skip
@click.option("--resume/--no-resume", default=True, show_default=True,
              help="Keep what the folder holds already, or move it aside and start anew.")  # fmt: skip
@click.option("--verify", is_flag=True, help="Read and hash every picture and annotation again, as in `run`.")
def measure(
    maps: Path,
    config_path: Path,
    overrides: tuple[str, ...],
    models: list[str],
    methods: list[str],
    method_name: str | None,
    resize: bool,
    negative: Literal["refuse", "clamp"],
    limit: int | None,
    device: str | None,
    devices: list[str] | None,
    shard: str | None,
    output: Path | None,
    resume: bool,
    verify: bool,
) -> None:
    """Compute every metric of maps that are there already, and print the tables.

    MAPS is a run folder that was made with --save-maps, or a folder of IMAGE/CLASS or METHOD/IMAGE/CLASS
    with the suffix .npy, .npz or .png that any tool has made. The result is a run folder like that of `run`.

    \b
    Examples:
      adasise-bench measure results/table1-1a2b3c4d --config table1 \\
          --set extra_metrics=[insertion,deletion]
      adasise-bench measure my-maps --config table1 --models resnet50 --method-name mine
    """
    from adasise_bench.run.runner import default_folder
    from adasise_bench.run.stored_maps import find_maps, load_data_and_network, measuring

    if device and devices:
        raise ConfigError("--device and --devices: give one of them")
    flags = {"limit": limit, "device": device, "shard": shard}
    settings = [f"{key}={value}" for key, value in flags.items() if value is not None]
    with prints_aside():
        given = load_data_and_network(config_path, [*overrides, *settings], models)
    found = find_maps(maps, given, method_name)
    config, notes = measuring(given, found, methods=methods, resize=resize, negative=negative)
    folder = output or default_folder(config)
    _refuse_to_move_the_maps(folder, maps)
    for note in notes:
        click.echo(note, err=True)
    carry_out(config, folder, resume, "local", devices, None, "map", "measured", verify)


def _refuse_to_move_the_maps(folder: Path, maps: Path) -> None:
    """Refuse to write into the folder of the maps, or to one that holds it and could be moved aside.

    Raises:
        OutputError: names both.
    """
    if maps.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{folder}: holds the maps to measure, {maps}; choose another --output")
