"""``adasise-bench explain``: explains one picture of your own."""

from __future__ import annotations

from pathlib import Path

import click

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.utils.streams import prints_aside


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--model", default="resnet50", show_default=True, metavar="NAME",
              help="Name of a network; `ls` lists those that come with the tool.")  # fmt: skip
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False),
              help="Weights file. Default: the published weights, downloaded once, or those that come "
              "with the tool.")  # fmt: skip
@click.option(
    "--sha256",
    metavar="HEX",
    help="Beginning of the weights file's SHA-256; the command is refused if it differs.",
)
@click.option("--methods", type=COMMA_LIST, default="sise,ada_sise", show_default=True,
              help="Names of the methods; `ls` lists them.")  # fmt: skip
@click.option("--class", "classes", multiple=True, metavar="NAME",
              help="Class to explain; can be given several times. Default: the class with the highest "
              "score.")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True,
              help="Number of classes to print.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Any setting of `run` below models, methods, score, precision, engine, data.layout,"
              " data.resize or data.input_size.")  # fmt: skip
@click.option("--device", help="auto, cpu, cuda, cuda:N or mps. Default: auto.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for the results. Default: explain-NAME; NAME is the picture's.")  # fmt: skip
@click.option("--footer/--no-footer", default=True, show_default=True,
              help="Whether side_by_side.png shows the small print; its metadata always do.")  # fmt: skip
def explain(
    image: Path,
    model: str,
    checkpoint: Path | None,
    sha256: str | None,
    methods: list[str],
    classes: tuple[str, ...],
    top: int,
    overrides: tuple[str, ...],
    device: str | None,
    output: Path | None,
    footer: bool,
) -> None:
    """Explain a picture of your own.

    Prints the classes with the highest scores Ψ. For every method and class, writes the saliency map (.npy)
    and its overlay on the picture (.png) into the folder, and all overlays together as side_by_side.png.
    torch computes, because preparing a faster backend rarely pays for one picture; --set
    engine.backend=openvino changes that.

    \b
    Examples:
      adasise-bench explain dog.jpg
      adasise-bench explain dog.jpg --class dog --class person --methods ada_sise
      adasise-bench explain dog.jpg --model vgg16 --checkpoint vgg16.pth.tar --output dog
      adasise-bench explain dog.jpg --set methods.ada_sise.selector=otsu --set data.resize=short-side
    """
    from adasise_bench.run.explain import explain_picture, refuse_foreign
    from adasise_bench.run.scored_picture import explain_config, open_subject
    from adasise_bench.run.start_notes import misfits
    from adasise_bench.utils.messages import terminal
    from adasise_bench.utils.quantities import counted

    folder = output or Path(f"explain-{image.stem}")
    with prints_aside():
        config = explain_config(
            model, methods, checkpoint=checkpoint, sha256=sha256, device=device, overrides=overrides
        )
    for note in misfits([config.device], config.precision):
        click.echo(note, err=True)
    refuse_foreign(folder)
    with prints_aside():
        subject = open_subject(image, config, classes)
    click.echo(terminal(subject.ranking(top)))
    for note in subject.notes():
        click.echo(note, err=True)
    with prints_aside():
        explain_picture(subject, folder, footer=footer)
    made = counted(len(subject.classes) * len(config.methods), "explanation")
    click.echo(f"{made} in {folder}", err=True)
