"""Time an iteration of Extremal Perturbation by TorchRay's function and by every backend and precision.

Each round takes every way once, so that a slow spell of the machine falls on all; the first round does not
count. An iteration's time is the difference between a longer and a shorter explanation of the same picture.
Run it while nothing else runs.

    python scripts/perturbation_speed.py --data VOC_FOLDER --checkpoint resnet50.pth.tar \\
        --ways torchray,torch:fp32,openvino:fp32,torch:bf16,openvino:bf16 --iterations 10 --rounds 5
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import click
import torch
from tabulate import tabulate

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.data.config import DataConfig
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.transforms import to_input
from adasise_bench.methods import Explanation, Request, parse_method
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.loading import load_classifier
from adasise_bench.utils.timing import PhaseClock

_SHORT = 2


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder that holds VOCdevkit.")
@click.option("--model", default="resnet50", show_default=True)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Local weights.")
@click.option("--ways", type=COMMA_LIST,
              default="torchray,torch:fp32,openvino:fp32,torch:bf16,openvino:bf16", show_default=True,
              help="torchray, or backend and precision; the others are compared with the first.")  # fmt: skip
@click.option("--image", default="000027", show_default=True)
@click.option("--class", "class_name", default="person", show_default=True)
@click.option("--size", default=224, show_default=True, help="Pixels of the input's side.")
@click.option("--iterations", default=10, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(
    data: Path,
    model: str,
    checkpoint: Path | None,
    ways: list[str],
    image: str,
    class_name: str,
    size: int,
    iterations: int,
    rounds: int,
) -> None:
    """Print a row for every way."""
    dataset, device = open_dataset(DataConfig(root=data)), torch.device("cpu")
    annotation = dataset.annotation(image)
    inputs = to_input(dataset.picture(image, annotation), "stretch", size)
    network = load_classifier(
        model, checkpoint=checkpoint, sha256=None, blocks="pool-input", resize="stretch", score="softmax",
        precision="fp32", device=device,
    )  # fmt: skip
    target = network.classes.index(class_name)
    explain = {way: _explain(network, way, inputs, target) for way in ways}
    per_iteration: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, explained in explain.items():
            short, long = (_seconds(partial(explained, count)) for count in (_SHORT, _SHORT + iterations))
            if number:
                per_iteration[way].append((long - short) / iterations)
    table = []
    for way, taken in per_iteration.items():
        ratios = [one / other for one, other in zip(per_iteration[ways[0]], taken, strict=True)]
        milliseconds = ", ".join(f"{1000 * value:.0f}" for value in taken)
        table.append(
            [way, milliseconds, f"{1000 * median(taken):.0f}", f"{median(ratios):.2f}",
             f"{min(ratios):.2f} to {max(ratios):.2f}"]
        )  # fmt: skip
    head = ["way", "ms per iteration", "median", "times as fast", "least to most"]
    click.echo(tabulate(table, head, disable_numparse=True))


def _explain(
    network: Classifier, way: str, inputs: torch.Tensor, target: int
) -> Callable[[int], Explanation]:
    """What explains the picture in so many iterations."""
    backend, _, precision = way.partition(":")
    options: dict[str, object] = {"name": "extremal_perturbation"}
    if way == "torchray":
        backend, precision, options["implementation"] = "torch", "fp32", "torchray"
    engine = Engine("channels_last", 8, backend)  # type: ignore[arg-type]
    classifier = replace(network, precision=precision).with_engine(engine)  # type: ignore[arg-type]

    def explained(iterations: int) -> Explanation:
        method = parse_method(options | {"iterations": iterations})
        return method.explain(classifier, Request(method, inputs, target), PhaseClock(classifier.device))

    return explained


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
