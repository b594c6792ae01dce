"""Measure what the faster precisions change, against fp32 on the same pictures.

    python scripts/precision_deviation.py --config configs/quickstart.yaml --limit 24 --precision bf16,fp16

Prints a table: per method and precision, the largest change of a metric's mean in points and the mean
Spearman rank correlation of the maps.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd
from tabulate import tabulate

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.records.reading import read_records
from adasise_bench.run.config_file import load_config
from adasise_bench.run.runner import run

METRICS = ["ebpg", "bbox", "drop", "increase", "miou"]


def rank_correlation(one: Path, other: Path) -> float:
    """Spearman's rank correlation of two saved maps."""
    ranks = [pd.Series(np.load(path).ravel()).rank() for path in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def deviations(
    config: Path, overrides: Sequence[str], limit: int, precisions: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """A row per precision and method, each as soon as it is known: what changes against fp32.

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
            run(load_config(config, settings), folder / name)
            if name != "fp32":
                yield from _changes(folder / "fp32", folder / name, name)


def _changes(exact: Path, other: Path, precision: str) -> Iterator[dict[str, Any]]:
    """A row per method: one run held against the other."""
    before = read_records(exact)
    for method, group in read_records(other).groupby("method", sort=False):
        change = group[METRICS].mean() - before[before["method"] == method][METRICS].mean()
        correlations = [
            rank_correlation(path, other / path.relative_to(exact))
            for path in sorted((exact / "maps").glob(f"*/{method}/*.npy"))
        ]
        yield {
            "precision": precision,
            "method": method,
            "pairs": len(group),
            "largest change of a mean, points": float(change.abs().max()),
            "of": str(change.abs().idxmax()),
            "mean rank correlation": float(np.mean(correlations)),
            "least": min(correlations),
        }


@click.command(help=__doc__)
@click.option("--config", required=True, type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
@click.option("--limit", default=24, show_default=True)
@click.option(
    "--precision", "precisions", type=COMMA_LIST, default="bf16,fp16", show_default=True,
    help="tf32 and fp16 are for GPUs.",
)  # fmt: skip
def main(config: Path, overrides: tuple[str, ...], limit: int, precisions: list[str]) -> None:
    """Run every precision into a temporary folder and compare."""
    rows = list(deviations(config, overrides, limit, precisions))
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".4f"))


if __name__ == "__main__":
    main()
