"""``adasise-bench run``: explains every pair, computes the metrics, and prints the tables."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from adasise_bench.cli.parameters import COMMA_LIST, CONFIG_FILE
from adasise_bench.cli.table import tables_text
from adasise_bench.utils.errors import BenchError, ConfigError
from adasise_bench.utils.quantities import counted
from adasise_bench.utils.streams import prints_aside

if TYPE_CHECKING:
    from adasise_bench.run.config import RunConfig
    from adasise_bench.run.launchers import Launcher


@click.command()
@click.option("--config", "config_path", required=True, type=CONFIG_FILE,
              help="YAML file, or the name of a configuration that comes with the tool; `ls configs` lists "
              "these.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Change any setting, such as data.root=/data or methods.sise.mu=0.3; null removes a "
              "model or method.")  # fmt: skip
@click.option("--models", type=COMMA_LIST, default="", help="Use only these models of the configuration.")
@click.option("--methods", type=COMMA_LIST, default="", help="Use only these methods of the configuration.")
@click.option("--limit", type=click.IntRange(min=1), help="Stop after the first N pictures.")
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps. Default: the configuration's.")
@click.option("--devices", type=COMMA_LIST, metavar="LIST",
              help="One worker for each of these devices: all, or a list such as cuda:0,cuda:1 or "
              "cpu,cpu. Default: all GPUs; without GPUs, the CPU.")  # fmt: skip
@click.option("--launcher", type=click.Choice(["local", "ray"]), default="local", show_default=True,
              help="Run the workers on this machine, or on the Ray cluster at RAY_ADDRESS; without that,"
              " start a cluster here.")  # fmt: skip
@click.option("--workers", type=click.IntRange(min=1),
              help="Number of Ray workers. Default: one per GPU; without GPUs, one per OMP_NUM_THREADS "
              "cores.")  # fmt: skip
@click.option("--shard", metavar="I/N",
              help="Explain only part I of N of the pictures, in a folder of its own; `merge` joins the "
              "parts.")  # fmt: skip
@click.option("--deterministic", is_flag=True,
              help="Make records that are equal to the bit on the same device; see "
              "docs/determinism.md.")  # fmt: skip
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Run folder. Default: results/NAME-DIGEST; both are the configuration's.")  # fmt: skip
@click.option("--resume/--no-resume", default=True, show_default=True,
              help="Keep what the folder holds already, or move it aside and start anew.")  # fmt: skip
@click.option("--save-maps", is_flag=True, help="Save every saliency map as a float32 .npy file.")
@click.option("--verify", is_flag=True,
              help="Read and hash every picture and annotation again, also those that an earlier start has "
              "read and that have not changed since.")  # fmt: skip
@click.option("--dry-run", is_flag=True,
              help="Print what would be done, about how long it would take, and what would be downloaded and "
              "written, and stop.")  # fmt: skip
def run(
    config_path: Path,
    overrides: tuple[str, ...],
    models: list[str],
    methods: list[str],
    limit: int | None,
    device: str | None,
    devices: list[str] | None,
    launcher: str,
    workers: int | None,
    shard: str | None,
    deterministic: bool,
    output: Path | None,
    resume: bool,
    save_maps: bool,
    verify: bool,
    dry_run: bool,
) -> None:
    """Explain every pair, compute the metrics, and print the tables.

    If a run is interrupted, the same command continues it where it stopped.

    \b
    Examples:
      adasise-bench run --config quickstart
      adasise-bench run --config table1 --models resnet50 --methods sise,ada_sise
      adasise-bench run --config table1 --set data.root=/path/to/voc \\
          --set models.resnet50.checkpoint=weights.pth.tar --set methods.extremal_perturbation=null
      adasise-bench run --config table1 --devices cuda:0,cuda:1
      adasise-bench run --config table1 --launcher ray
      adasise-bench run --config table1 --shard 3/8
      adasise-bench run --config table1 --dry-run
    """
    from adasise_bench.run.config_file import load_config

    if device and devices:
        raise ConfigError("--device and --devices: give one of them")
    flags = {
        "limit": limit,
        "device": device,
        "shard": shard,
        "deterministic": deterministic or None,
        "save_maps": save_maps or None,
    }
    settings = [f"{key}={value}" for key, value in flags.items() if value is not None]
    from adasise_bench.run.runner import default_folder

    with prints_aside():
        config = load_config(config_path, [*overrides, *settings], models, methods)
    folder = output or default_folder(config)
    if dry_run:
        _forecast(config, folder, [config.device] if launcher == "ray" else devices, verify)
    else:
        carry_out(config, folder, resume, launcher, devices, workers, verify=verify)


def _forecast(config: RunConfig, folder: Path, devices: list[str] | None, verify: bool) -> None:
    from adasise_bench.run.forecast.description import forecast
    from adasise_bench.utils.devices import pick_devices
    from adasise_bench.utils.messages import terminal

    lines: list[str] = []
    try:
        with prints_aside():
            for line in forecast(config, folder, pick_devices(devices, config.device), verify=verify):
                lines.append(line)  # kept if the run would be refused after it
    finally:
        if lines:
            click.echo(terminal("\n".join(lines)))


def carry_out(
    config: RunConfig,
    folder: Path,
    resume: bool,
    launcher: str,
    devices: list[str] | None,
    workers: int | None,
    thing: str = "explanation",
    done: str = "made",
    verify: bool = False,
) -> None:
    """Run a configuration and print its tables; the last line counts the things that were done."""
    from adasise_bench.run.launchers.choice import choose_launcher
    from adasise_bench.run.start_notes import start_notes
    from adasise_bench.utils.devices import pick_devices

    chosen = choose_launcher(config, folder, launcher, devices, workers)
    if launcher == "local":
        for note in start_notes(pick_devices(devices, config.device), config.precision):
            click.echo(note, err=True)
    _run(config, folder, resume, chosen, (thing, done), verify)


def _run(
    config: RunConfig, folder: Path, resume: bool, launcher: Launcher, done: tuple[str, str], verify: bool
) -> None:
    from adasise_bench.run.runner import run as run_benchmark

    try:
        with prints_aside():
            outcome = run_benchmark(config, folder, resume=resume, launcher=launcher, verify=verify)
    except KeyboardInterrupt:
        with suppress(BenchError):
            click.echo(tables_text(folder))
        click.echo(
            f"Interrupted. {folder} keeps what is done; give the same command again to continue.", err=True
        )
        sys.exit(130)
    if outcome.computed + outcome.reused or not config.shard:
        click.echo(tables_text(folder))
    thing, made = done
    told = f"{counted(outcome.computed, thing)} {made}, {outcome.reused:,} kept from before, in {folder}"
    click.echo(told, err=True)
    if outcome.errors > config.tolerated_errors:
        raise BenchError(
            f"{outcome.errors:,} of the {thing}s failed; the column `error` of the records says why"
        )
