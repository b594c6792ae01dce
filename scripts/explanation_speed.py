"""Time whole explanations with every backend and precision, in turns, and the metrics of their maps.

Each round takes every way once, so that a slow spell of the machine falls on all; the first round does not
count. Run it while nothing else runs.

    python scripts/explanation_speed.py --data VOC_FOLDER --checkpoint resnet50.pth.tar \\
        --ways torch:fp32,openvino:fp32,openvino:bf16,openvino:int8 --size 160

With ``--memory`` every way makes one explanation in a process of its own instead, and the process's peak
resident memory is printed, with its ratio to that of the first way. The peak hardly depends on how many
masks are scored, as long as there is more than one batch: ``--method '{name: sise, mu: 0.5}'`` scores few,
in little time.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
import yaml
from tabulate import tabulate

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.data.config import DataConfig
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.transforms import to_input
from adasise_bench.methods import Request, parse_method
from adasise_bench.metrics import bbox, ebpg, miou
from adasise_bench.models.engine import Engine
from adasise_bench.models.loading import load_classifier
from adasise_bench.utils.timing import PhaseClock


@click.command()
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder that holds VOCdevkit.")
@click.option("--model", default="resnet50", show_default=True)
@click.option("--checkpoint", type=click.Path(path_type=Path), help="Local weights.")
@click.option("--ways", type=COMMA_LIST, default="torch:fp32,openvino:fp32", show_default=True,
              help="Backend and precision of each; the others are compared with the first.")  # fmt: skip
@click.option("--image", default="000027", show_default=True)
@click.option("--class", "class_name", default="person", show_default=True)
@click.option("--size", default=160, show_default=True, help="Pixels of the input's side.")
@click.option("--batch", default=8, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--method", default="sise", show_default=True,
              help="Its name, or its entry in a configuration, with settings.")  # fmt: skip
@click.option("--memory", is_flag=True, help="Measure peak memory in place of time.")
@click.option("--peak-only", is_flag=True, hidden=True)
def main(
    data: Path,
    model: str,
    checkpoint: Path | None,
    ways: list[str],
    image: str,
    class_name: str,
    size: int,
    batch: int,
    rounds: int,
    method: str,
    memory: bool,
    peak_only: bool,
) -> None:
    """Print a row for every way."""
    if memory:
        compare_memory(ways)
        return
    dataset, device = open_dataset(DataConfig(root=data)), torch.device("cpu")
    annotation = dataset.annotation(image)
    inputs = to_input(dataset.picture(image, annotation), "stretch", size)
    inside = annotation.inside(class_name, (size, size))
    network = load_classifier(
        model, checkpoint=checkpoint, sha256=None, blocks="pool-input", resize="stretch", score="softmax",
        precision="fp32", device=device,
    )  # fmt: skip
    request = Request(
        parse_method(yaml.safe_load(method)), inputs, network.classes.index(class_name), inside=inside
    )
    classifiers, seconds, rows = {}, {way: list[float]() for way in ways}, dict[str, list[Any]]()
    for way in ways:
        backend, _, precision = way.partition(":")
        engine = Engine("channels_last", batch, backend)  # type: ignore[arg-type]
        classifiers[way] = replace(network, precision=precision).with_engine(engine)  # type: ignore[arg-type]
    if peak_only:
        (classifier,) = classifiers.values()
        found = request.method.explain(classifier, request, PhaseClock(device))
        if classifier.backend is not None and classifier.backend.failed:
            raise click.ClickException(f"{ways[0]}: torch has taken over")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
        click.echo(f"{peak} {found.forwards} {found.mask_precision}")
        return
    for number in range(rounds + 1):
        for way, classifier in classifiers.items():
            start = time.perf_counter()
            found = request.method.explain(classifier, request, PhaseClock(device))
            if number:
                seconds[way].append(time.perf_counter() - start)
            metrics = (metric(found.saliency, inside) for metric in (ebpg, bbox, miou))
            rows[way] = [found.forwards, *(f"{value:.2f}" for value in metrics)]
    table = []
    for way, taken in seconds.items():
        ratios = [one / other for one, other in zip(seconds[ways[0]], taken, strict=True)]
        each, times = (", ".join(f"{value:.{digits}f}" for value in values)
                       for digits, values in ((1, taken), (2, ratios)))  # fmt: skip
        table.append([way, each, times, f"{median(ratios):.2f}", *rows[way]])
    head = ["way", "seconds", "times as fast", "median", "forwards", "EBPG", "Bbox", "mIoU"]
    click.echo(tabulate(table, head, disable_numparse=True))


def compare_memory(ways: list[str]) -> None:
    """Print the peak resident memory of one explanation by every way, each in a fresh process."""
    given = [argument for argument in sys.argv if argument != "--memory"]
    rows: list[list[str]] = []
    for way in ways:
        command = [sys.executable, *given, "--ways", way, "--peak-only"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise click.ClickException(f"{way}: the process ended with exit code {done.returncode}")
        peak, forwards, precision = done.stdout.splitlines()[-1].split()
        first = float(rows[0][1]) if rows else float(peak)
        rows.append([way, f"{float(peak):.0f}", f"{float(peak) / first:.2f}", forwards, precision])
        click.echo(f"{way}: {rows[-1][1]} MB", err=True)
    heads = ["way", "peak MB", "times the first", "forwards", "masks scored in"]
    click.echo(tabulate(rows, heads, disable_numparse=True))


if __name__ == "__main__":
    main()
