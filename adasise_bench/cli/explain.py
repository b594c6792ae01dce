"""``adasise-bench explain``: one picture of a person's own."""

from __future__ import annotations

from pathlib import Path

import click

from adasise_bench.cli.parameters import COMMA_LIST


@click.command()
@click.argument("image", type=click.Path(path_type=Path))
@click.option("--model", default="resnet50", show_default=True, metavar="NAME",
              help="resnet50, vgg16, or scenes_vgg for drawn scenes.")  # fmt: skip
@click.option("--checkpoint", type=click.Path(path_type=Path, dir_okay=False),
              help="Weights file in TorchRay's format. Default: TorchRay's, downloaded once.")  # fmt: skip
@click.option("--sha256", metavar="HEX", help="Start of the weights file's SHA-256, to be checked.")
@click.option("--methods", type=COMMA_LIST, default="sise,ada_sise", show_default=True,
              help="Methods by name; `ls` lists them.")  # fmt: skip
@click.option("--class", "classes", multiple=True, metavar="NAME",
              help="Class to explain; repeatable. Default: the top class.")  # fmt: skip
@click.option("--top", type=click.IntRange(min=1), default=5, show_default=True,
              help="How many classes to print.")  # fmt: skip
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE",
              help="Any setting that `run` has for models, methods, score, precision, engine, data.resize, data.input_size.")  # fmt: skip  # noqa: E501
@click.option("--device", help="auto, cpu, cuda or cuda:N.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False),
              help="Folder for the results. Default: explain-NAME of the picture.")  # fmt: skip
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
) -> None:
    """Explain a picture of your own.

    Prints the classes with the highest scores Ψ. The folder gets, for every method and class, the saliency
    map (.npy) and its overlay (.png), and side_by_side.png with all of them.

    \b
    Examples:
      adasise-bench explain dog.jpg
      adasise-bench explain dog.jpg --class dog --class person --methods ada_sise
      adasise-bench explain dog.jpg --model vgg16 --checkpoint vgg16.pth.tar --output dog
      adasise-bench explain dog.jpg --set methods.ada_sise.selector=otsu --set data.resize=short-side
    """
    from adasise_bench.run import explain as explaining
    from adasise_bench.run.scored_picture import explain_config, open_subject
    from adasise_bench.run.start_notes import misfits
    from adasise_bench.utils.messages import terminal

    folder = output or Path(f"explain-{image.stem}")
    config = explain_config(
        model, methods, checkpoint=checkpoint, sha256=sha256, device=device, overrides=overrides
    )
    for note in misfits([config.device], config.precision):
        click.echo(note, err=True)
    explaining.refuse_foreign(folder)
    subject = open_subject(image, config, classes)
    click.echo(terminal(subject.ranking(top)))
    for note in subject.notes():
        click.echo(note, err=True)
    explaining.explain(subject, folder)
    click.echo(f"{len(subject.classes) * len(config.methods)} explanations in {folder}", err=True)
