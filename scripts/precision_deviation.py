"""Measure what the faster precisions change, against fp32 on the same pictures.

    python scripts/precision_deviation.py --config configs/quickstart.yaml --limit 24 --precision bf16,fp16

Prints a table: per method and precision, the largest change of a metric's mean in points and the mean
Spearman rank correlation of the maps.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import click
import numpy as np
import pandas as pd
from tabulate import tabulate

from adasise_bench.config_file import load_config
from adasise_bench.records import read_records
from adasise_bench.runner import run

METRICS = ["ebpg", "bbox", "drop", "increase", "miou"]


def rank_correlation(one: Path, other: Path) -> float:
    """Spearman's rank correlation of two saved maps."""
    ranks = [pd.Series(np.load(path).ravel()).rank() for path in (one, other)]
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


@click.command(help=__doc__)
@click.option("--config", required=True, type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE")
@click.option("--limit", default=24, show_default=True)
@click.option("--precision", default="bf16,fp16", show_default=True, help="tf32 and fp16 are for GPUs.")
def main(config: Path, overrides: tuple[str, ...], limit: int, precision: str) -> None:
    """Run every precision into a temporary folder and compare."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in ["fp32", *precision.split(",")]:
            settings = [*overrides, f"precision={name}", f"limit={limit}", "save_maps=true"]
            run(load_config(config, settings), Path(folder) / name)
        exact = read_records(Path(folder) / "fp32")
        for name in precision.split(","):
            records = read_records(Path(folder) / name)
            for method, group in records.groupby("method", sort=False):
                change = group[METRICS].mean() - exact[exact["method"] == method][METRICS].mean()
                maps = sorted((Path(folder) / "fp32/maps").glob(f"*/{method}/*.npy"))
                correlations = [
                    rank_correlation(path, Path(folder) / name / path.relative_to(Path(folder) / "fp32"))
                    for path in maps
                ]
                rows.append(
                    {
                        "precision": name,
                        "method": method,
                        "pairs": len(group),
                        "largest change of a mean, points": change.abs().max(),
                        "of": change.abs().idxmax(),
                        "mean rank correlation": np.mean(correlations),
                        "least": min(correlations),
                    }
                )
    print(tabulate(rows, headers="keys", tablefmt="github", floatfmt=".4f"))


if __name__ == "__main__":
    main()
