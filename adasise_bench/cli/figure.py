"""``adasise-bench figure``: draws the papers' figures from run folders or from a network."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from adasise_bench.cli.parameters import COMMA_LIST, CONFIG_FILE

if TYPE_CHECKING:
    from adasise_bench.records import Run


def _checked(_context: click.Context, _option: click.Parameter, path: Path) -> Path:
    from adasise_bench.reporting.figures.saving import format_of

    format_of(path)
    return path


_folders = click.argument(
    "folders", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR..."
)
_output = click.option(
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    callback=_checked,
    metavar="FILE.{png,pdf,svg}",
    help="File to write; its suffix names the format.",
)
_model = click.option("--model", help="Name of the network, if there are several.")
_methods = click.option(
    "--methods", type=COMMA_LIST, default="", help="Show only these methods, in this order."
)
_footer = click.option(
    "--footer/--no-footer",
    default=True,
    show_default=True,
    help="Whether the line at the foot is drawn; the file's metadata hold it in any case.",
)


@click.group()
def figure() -> None:
    """Draw the papers' figures, as wide as one column of a paper.

    \b
    Examples:
      adasise-bench figure phases results/runtime-5e6f7a8b --methods sise,ada_sise --output phases.pdf
      adasise-bench figure kept results/table2-1a2b3c4d --output kept.svg
      adasise-bench figure mu results/mu_ablation-1a2b3c4d --output mu.png
      adasise-bench figure maps results/table1-1a2b3c4d --random 4 --seed 1 --output maps.pdf
      adasise-bench figure gradients --config mu_ablation --image 000001:dog --output fig1.pdf
      adasise-bench figure chance --config table1 --output chance.pdf
    """


@figure.command()
@click.option("--config", "config_path", required=True, type=CONFIG_FILE,
              help="YAML file that names the data, the network and the methods.")  # fmt: skip
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Change any setting, as in `run`."
)
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps. Default: the configuration's.")
@_model
@click.option(
    "--image",
    required=True,
    metavar="ID[:CLASS]",
    help="Picture; also the class, if the picture shows several.",
)
@_footer
@_output
def gradients(
    config_path: Path,
    overrides: tuple[str, ...],
    device: str | None,
    model: str | None,
    image: str,
    footer: bool,
    output: Path,
) -> None:
    """Draw the positive gradients of each block, and the threshold of each selector (figure 1).

    \b
    Examples:
      adasise-bench figure gradients --config mu_ablation --image 000001:dog --output fig1.pdf
      adasise-bench figure gradients --config table1 --model vgg16 --set data.root=/data/voc \\
          --image 000004 --output fig1.png
    """
    from adasise_bench.reporting.figures import gradients, save
    from adasise_bench.run.config_file import load_config
    from adasise_bench.run.picture_gradients import of_picture
    from adasise_bench.utils.errors import ConfigError

    settings = [f"device={device}"] if device else []
    config = load_config(config_path, [*overrides, *settings], [model] if model else [])
    if len(config.models) > 1:
        raise ConfigError(f"{config_path}: has {', '.join(config.models)}; name one with --model")
    measured = of_picture(config, next(iter(config.models)), *_image_and_class(image))
    save(gradients.draw(measured), output, footer=footer)


@figure.command()
@click.option("--config", "config_path", required=True, type=CONFIG_FILE,
              help="Configuration that names the data, as in `run`; its networks and methods are not "
              "used.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override any key, as in `run`.")
@_footer
@_output
def chance(config_path: Path, overrides: tuple[str, ...], footer: bool, output: Path) -> None:
    """Where the objects are, and what one gets without looking at the picture, from annotations alone.

    \b
    Example:
      adasise-bench figure chance --config table1 --set data.root=/data/voc --output chance.pdf
    """
    from adasise_bench.reporting.figures import save
    from adasise_bench.reporting.figures.chance import draw
    from adasise_bench.run.chance import chance_levels
    from adasise_bench.run.config_file import load_config

    save(draw(chance_levels(load_config(config_path, overrides))), output, footer=footer)


@figure.command()
@_folders
@_model
@_methods
@click.option("--image", "images", multiple=True, metavar="ID[:CLASS]",
              help="Draw a row for each class of this picture, or for one class; can be given several "
              "times.")  # fmt: skip
@click.option("--random", "count", type=click.IntRange(min=1), help="Draw this many rows at random.")
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Seed that decides which rows are drawn.",
)
@_footer
@_output
def maps(
    folders: tuple[Path, ...],
    model: str | None,
    methods: list[str],
    images: tuple[str, ...],
    count: int | None,
    seed: int,
    footer: bool,
    output: Path,
) -> None:
    """Draw pictures with boxes, and the map of every method (figure 3), from runs with --save-maps.

    \b
    Examples:
      adasise-bench figure maps results/table1-1a2b3c4d --image 000001:dog --image 000004 --output maps.pdf
      adasise-bench figure maps results/table1-1a2b3c4d --random 4 --seed 1 --output maps.png
    """
    if bool(images) == (count is not None):
        raise click.UsageError("say which rows to draw: --image ID[:CLASS], or --random N")
    from adasise_bench.reporting.figures import save
    from adasise_bench.reporting.figures.saliency_maps import SavedMaps, draw

    runs, model = _runs_and_model(folders, model)
    saved = SavedMaps.of(runs, model, methods)
    if count is not None:
        pairs = saved.sample(count, seed)
    else:
        pairs = [pair for image in images for pair in saved.pairs(*_image_and_class(image))]
    save(draw([saved.row(pair) for pair in pairs], saved.note), output, footer=footer)


@figure.command()
@_folders
@_model
@_methods
@_footer
@_output
def phases(
    folders: tuple[Path, ...], model: str | None, methods: list[str], footer: bool, output: Path
) -> None:
    """Draw the run-time of each phase (figure 4), from runs that measured it.

    \b
    Example:
      adasise-bench figure phases results/runtime-5e6f7a8b --methods sise,ada_sise --output phases.pdf
    """
    from adasise_bench.reporting.figures.phases import draw

    _draw_runs(draw, folders, model, output, footer, methods=methods)


@figure.command()
@_folders
@_model
@_footer
@_output
def mu(folders: tuple[Path, ...], model: str | None, footer: bool, output: Path) -> None:
    """Draw metrics and run-time over SISE's threshold mu, beside those of the adaptive selectors.

    \b
    Example:
      adasise-bench figure mu results/mu_ablation-1a2b3c4d results/mu_runtime-5e6f7a8b --output mu.pdf
    """
    from adasise_bench.reporting.figures.mu_ablation import draw

    _draw_runs(draw, folders, model, output, footer)


@figure.command()
@_folders
@_model
@_methods
@_footer
@_output
def kept(
    folders: tuple[Path, ...], model: str | None, methods: list[str], footer: bool, output: Path
) -> None:
    """Draw how many feature maps were kept in each block, beside the values of Table 2.

    \b
    Example:
      adasise-bench figure kept results/table2-1a2b3c4d --output kept.pdf
    """
    from adasise_bench.reporting.figures.kept_maps import draw

    _draw_runs(draw, folders, model, output, footer, methods=methods)


def _draw_runs(
    draw: Callable[..., Any],
    folders: tuple[Path, ...],
    model: str | None,
    output: Path,
    footer: bool,
    **options: Any,
) -> None:
    from adasise_bench.reporting.figures import save

    runs, model = _runs_and_model(folders, model)
    save(draw(runs, model, **options), output, footer=footer)


def _runs_and_model(folders: tuple[Path, ...], model: str | None) -> tuple[list[Run], str]:
    from adasise_bench.records import load_run
    from adasise_bench.reporting.figures.basis import the_model

    runs = [load_run(folder) for folder in folders]
    return runs, model or the_model(runs)


def _image_and_class(text: str) -> tuple[str, str | None]:
    image_id, _, class_name = text.partition(":")
    return image_id, class_name or None
