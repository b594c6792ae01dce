"""Measure what passes batches through a network fastest: every backend in every precision, in turns.

Each round takes every way once, so that a slow spell of the machine falls on all. A speed is given as the
ratio to torch in fp32 of the same round. Run it while nothing else runs.

    python scripts/backend_speed.py --models resnet50,vgg16 --checkpoint resnet50=resnet50.pth.tar \\
        --checkpoint vgg16=vgg16.pth.tar --precisions fp32,bf16,int8
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import click
import torch
from tabulate import tabulate

from adasise_bench.models.backends import BACKENDS
from adasise_bench.models.backends.probe import masked_noise
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.loading import load_classifier
from adasise_bench.records import environment
from adasise_bench.utils.devices import pick_device
from adasise_bench.utils.timing import synchronize


class Way:
    """A backend in a precision, prepared for whole batches of masked noise."""

    def __init__(self, classifier: Classifier, backend: str, precision: str, image: torch.Tensor) -> None:
        self.backend, self.precision, self.seconds = backend, precision, list[float]()
        engine = replace(classifier.engine, backend=backend)  # type: ignore[arg-type]
        self.classifier = replace(classifier, precision=precision).with_engine(engine)  # type: ignore[arg-type]
        self.inputs = self.classifier.empty_batch(image)
        self.inputs.copy_(masked_noise(self.inputs.shape, classifier.preprocessing))
        before, start = peak_mb(), time.perf_counter()
        self.scores = self.classifier.scores(self.inputs)
        synchronize(self.classifier.device)
        self.preparing, self.memory = time.perf_counter() - start, peak_mb() - before

    @property
    def failed(self) -> bool:
        """Whether torch has taken over."""
        return self.classifier.backend is not None and self.classifier.backend.failed

    def pass_batches(self, least: float) -> None:
        """Note the fastest of the batches that pass in ``least`` seconds, after one that is discarded."""
        taken: list[float] = []
        while len(taken) < 2 or sum(taken[1:]) < least:
            synchronize(self.classifier.device)
            start = time.perf_counter()
            self.classifier.scores(self.inputs)
            synchronize(self.classifier.device)
            taken.append(time.perf_counter() - start)
        self.seconds.append(min(taken[1:]))


def peak_mb() -> float:
    """The most memory that the process has held so far, in 10^6 bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def ways_of(
    classifier: Classifier, backends: Sequence[str], precisions: Sequence[str], image: torch.Tensor
) -> Iterator[Way]:
    """Torch in fp32 first, then every other pair that can run here; one line for one that cannot."""
    yield Way(classifier, "torch", "fp32", image)
    for precision in precisions:
        for backend in backends:
            if (backend, precision) == ("torch", "fp32"):
                continue
            refusal = BACKENDS[backend].refusal(classifier.device, precision)  # type: ignore[index, arg-type]
            if refusal:
                click.echo(f"{backend}, {precision}: {refusal}", err=True)
                continue
            way = Way(classifier, backend, precision, image)
            if not way.failed:
                yield way


def measured(ways: Sequence[Way], rounds: int, least: float) -> list[dict[str, Any]]:
    """One row per way, after ``rounds`` rounds."""
    for _ in range(rounds):
        for way in ways:
            way.pass_batches(least)
    reference = ways[0]
    rows = []
    for way in ways:
        ratios = [ours / theirs for ours, theirs in zip(reference.seconds, way.seconds, strict=True)]
        rows.append(
            {
                "backend": way.backend,
                "precision": way.precision,
                "ms per input": 1000 * median(way.seconds) / len(way.inputs),
                "times torch fp32": median(ratios),
                "least": min(ratios),
                "most": max(ratios),
                "largest change of a score": float((way.scores - reference.scores).abs().max()),
                "s to prepare": way.preparing,
                "MB more at the peak": way.memory,
            }
        )
    return rows


@click.command()
@click.option("--models", default="resnet50,vgg16", show_default=True)
@click.option("--checkpoint", "checkpoints", multiple=True, metavar="MODEL=FILE", help="Local weights.")
@click.option("--backends", default=",".join(name for name in BACKENDS), show_default=True)
@click.option("--precisions", default="fp32,bf16,int8", show_default=True)
@click.option("--size", default=224, show_default=True, help="Pixels of the input's side.")
@click.option("--batch", default=8, show_default=True)
@click.option("--layout", type=click.Choice(["contiguous", "channels_last"]), default="channels_last")
@click.option("--rounds", default=6, show_default=True)
@click.option("--least", default=1.0, show_default=True, help="Seconds of batches per way and round.")
@click.option("--device", default="auto", show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="JSON file for rows and environment.")
def main(
    models: str, checkpoints: tuple[str, ...], backends: str, precisions: str, size: int, batch: int,
    layout: str, rounds: int, least: float, device: str, output: Path | None,
) -> None:  # fmt: skip
    """Print a table for every model."""
    chosen = pick_device(device)
    files = dict(entry.split("=", 1) for entry in checkpoints)
    result: dict[str, Any] = {"environment": environment.describe(chosen, precisions, {}), "models": {}}
    for model in models.split(","):
        classifier = load_classifier(
            model, data="scenes" if model == "scenes_vgg" else "voc",
            checkpoint=Path(files[model]) if model in files else None, sha256=None,
            blocks="pool-input", resize="stretch", score="softmax", precision="fp32", device=chosen,
        ).with_engine(Engine(layout, batch))  # type: ignore[arg-type]  # fmt: skip
        image = torch.zeros(1, 3, size, size, device=chosen)
        ways = list(ways_of(classifier, backends.split(","), precisions.split(","), image))
        rows = measured(ways, rounds, least)
        result["models"][model] = {"weights": classifier.weights.sha256[:12], "size": size, "batch": batch,
                                   "layout": layout, "rows": rows}  # fmt: skip
        click.echo(f"\n{model}, {size} px, batches of {batch}, {layout}\n")
        click.echo(tabulate(rows, headers="keys", floatfmt=".3g"))
    if output is not None:
        output.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
