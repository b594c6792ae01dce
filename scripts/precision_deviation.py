"""Measure what faster precisions and other backends change, against the first way on the same pictures.

    python scripts/precision_deviation.py --data VOC_FOLDER --checkpoint resnet50=FILE \\
        --ways openvino:fp32,openvino:bf16,openvino:int8 --pictures 14 --size 160 --output FOLDER

``--set KEY=VALUE`` changes the configuration of all ways as ``adasise-bench run --set`` does, for example
``--methods sise,rise --set methods.rise.masks=1000``. The pictures are the first of the data set's list of
test pictures, with all their classes. Every way is an ordinary run in a folder of its own below FOLDER, so
that the same command goes on where it was stopped, and a larger --pictures adds to what is there. The pairs
that both of two ways have are compared.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import spearmanr
from tabulate import tabulate

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.maps import map_path
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Key
from adasise_bench.reporting.statistics import estimate_means
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import apply_overrides, load_config, validate
from adasise_bench.run.runner import run

PAIR = ["image_id", "class_name"]
COMPARED = ("ebpg", "bbox", "miou", "drop", "increase")


def crossing_share(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Percent of pixels that are 0 in one of two maps only: those that crossed the last fusion threshold."""
    return 100 * float(np.mean((one == 0) != (other == 0)))


def changes(exact: Path, other: Path, model: str, method: str) -> Iterator[tuple[str, str]]:
    """What changes between two run folders for a network and a method: titles and printed values.

    Args:
        exact: the reference.
        other: what is held against it.
        model: the network.
        method: label of the method.
    """
    before, after = (_explained(folder, model, method) for folder in (exact, other))
    pairs = before.index.intersection(after.index)
    before, after = before.loc[pairs], after.loc[pairs]
    yield "pairs", str(len(pairs))
    scored_in = after["mask_precision"].value_counts()
    yield "masks scored in", ", ".join(f"{name} {scored_in[name]}" for name in sorted(scored_in.index))
    for name in COMPARED:
        moved = estimate_means((after[[name]] - before[[name]]).astype(float), METRICS[name].average)[name]
        between = "" if moved.low is None else f" [{moved.low:+.2f}, {moved.high:+.2f}]"
        yield METRICS[name].title, "" if moved.mean is None else f"{moved.mean:+.2f}{between}"
    maps = [
        [np.load(map_path(folder, Key(model, method, *pair))) for folder in (exact, other)] for pair in pairs
    ]
    ranks = [float(spearmanr(one, two, axis=None).statistic) for one, two in maps]
    crossed = [crossing_share(one, two) for one, two in maps]
    worst = (after["ebpg"] - before["ebpg"]).abs()
    yield "rank correlation: mean", f"{np.mean(ranks):.4f}"
    yield "least", f"{min(ranks):.4f}"
    yield "pixels across, %", f"{np.mean(crossed):.3f}"
    yield "most", f"{max(crossed):.2f}"
    yield "largest change of EBPG", f"{worst.max():.2f}"


def deviations(
    config: Path, overrides: Sequence[str], limit: int, precisions: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """A row per precision, network and method of a configuration, each as soon as it is known.

    Args:
        config: the configuration of the runs.
        overrides: ``key=value`` pairs for it.
        limit: pictures.
        precisions: what to hold against fp32.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        for name in ["fp32", *precisions]:
            settings = [*overrides, f"precision={name}", f"limit={limit}", "save_maps=true"]
            loaded = load_config(config, settings)
            run(loaded, folder / name)
            if name == "fp32":
                continue
            for model, method in product(loaded.models, (method.label for method in loaded.methods)):
                row = {"precision": name, "network": model, "method": method}
                yield row | dict(changes(folder / "fp32", folder / name, model, method))


def _explained(folder: Path, model: str, method: str) -> pd.DataFrame:
    records = read_records(folder)
    chosen = records[(records["model"] == model) & (records["method"] == method) & records["error"].isna()]
    return chosen.set_index(PAIR).sort_index()


def configuration(
    data: Path,
    checkpoints: Sequence[tuple[str, Path | None]],
    methods: Sequence[str],
    way: str,
    overrides: Sequence[str] = (),
    **others: Any,
) -> RunConfig:
    """The configuration of one way's run.

    Args:
        data: folder that holds VOCdevkit.
        checkpoints: networks and their weights; ``None`` takes TorchRay's.
        methods: names of the methods.
        way: backend and precision, as ``openvino:bf16``.
        overrides: ``key=value`` pairs that change the rest.
        others: ``size`` of the input, ``batch`` and number of ``pictures``.

    Raises:
        ConfigError: one line naming the key that is wrong.
    """
    backend, _, precision = way.partition(":")
    tree = {
        "data": {"root": data, "input_size": others["size"]},
        "models": {name: {"checkpoint": path} for name, path in checkpoints},
        "methods": list(methods),
        "precision": precision,
        "engine": {"backend": backend, "layout": "channels_last", "batch_size": others["batch"]},
        "limit": others["pictures"],
        "share_forwards": True,
        "save_maps": True,
        "device": "cpu",
    }
    apply_overrides(tree, overrides)
    return validate(tree, way)


def _checkpoint(
    _context: object, _parameter: object, given: tuple[str, ...]
) -> list[tuple[str, Path | None]]:
    split = [entry.partition("=") for entry in given]
    return [(name, Path(path) if path else None) for name, _, path in split]


@click.command(help=__doc__)
@click.option("--data", type=click.Path(path_type=Path), required=True, help="Folder that holds VOCdevkit.")
@click.option("--checkpoint", "checkpoints", multiple=True, required=True, callback=_checkpoint,
              metavar="MODEL=FILE", help="A network and its weights; MODEL= takes TorchRay's.")  # fmt: skip
@click.option("--methods", type=COMMA_LIST, default="sise,ada_sise", show_default=True)
@click.option("--ways", type=COMMA_LIST, show_default=True,
              default="openvino:fp32,openvino:bf16,openvino:int8",
              help="Backend and precision of each; the others are compared with the first.")  # fmt: skip
@click.option("--pictures", default=14, show_default=True)
@click.option("--size", default=160, show_default=True, help="Pixels of the input's side.")
@click.option("--batch", default=8, show_default=True)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Changes the runs' configuration."
)
@click.option("--output", type=click.Path(path_type=Path), required=True)
def main(
    data: Path,
    checkpoints: list[tuple[str, Path | None]],
    methods: list[str],
    ways: list[str],
    output: Path,
    **others: Any,
) -> None:
    """Run every way in its folder, then print what changes."""
    folders = {way: output / way.replace(":", "-") for way in ways}
    for way, folder in folders.items():
        run(configuration(data, checkpoints, methods, way, **others), folder)
    rows = [
        {"network": model, "way": way, "method": method}
        | dict(changes(folders[ways[0]], folders[way], model, method))
        for model, _ in checkpoints
        for way in ways[1:]
        for method in methods
    ]
    click.echo(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
