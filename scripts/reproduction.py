"""Measure what the choices change that the papers leave open: one run per choice, paired with the default.

    python scripts/reproduction.py --config configs/quickstart.yaml --output results/reproduction-scenes
    python scripts/reproduction.py --config configs/table1.yaml --models resnet50 --limit 4 \\
        --set data.root=/data/voc --set models.resnet50.checkpoint=net.pth.tar --output results/reproduction

Runs resume. Writes DIR/deltas.md and DIR/deltas.csv: per model, choice and method, the mean difference of
every measure from the default on the same pairs, with its 95 % interval where there are ten pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
from tabulate import tabulate

from adasise_bench.config_file import load_config
from adasise_bench.errors import BenchError
from adasise_bench.records import read_records, write_text_atomically
from adasise_bench.runner import run
from adasise_bench.statistics import estimate_means

METRICS = ["ebpg", "bbox", "drop", "increase", "miou"]


class Choice(NamedTuple):
    """What a row changes: overrides, and the methods that it concerns."""

    overrides: tuple[str, ...]
    methods: tuple[str, ...] = ("sise", "ada_sise")


CHOICES = {
    "selector fixed .3": Choice(
        ("methods.ada_sise.selector=fixed", "methods.ada_sise.mu=0.3"), ("ada_sise",)
    ),
    "selector otsu": Choice(("methods.ada_sise.selector=otsu",), ("ada_sise",)),
    "fusion soft": Choice(("methods.sise.fusion=soft", "methods.ada_sise.fusion=soft")),
    "score sigmoid": Choice(("score=sigmoid",)),
    "score logit": Choice(("score=logit",)),
    "resize short-side": Choice(("data.resize=short-side",)),
    "VGG pool outputs": Choice(("models.vgg16.blocks=pool-output",)),
    "EP single area": Choice(
        ("methods.extremal_perturbation.areas=[0.12]", "methods.extremal_perturbation.reward=contrastive"),
        ("extremal_perturbation",),
    ),
}


@click.command(help=__doc__)
@click.option("--config", required=True, type=click.Path(path_type=Path))
@click.option("--models", default="", metavar="A,B")
@click.option("--methods", default="", metavar="A,B")
@click.option("--limit", type=int)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="For the default and all choices."
)
@click.option("--output", required=True, type=click.Path(path_type=Path))
def main(
    config: Path, models: str, methods: str, limit: int | None, overrides: tuple[str, ...], output: Path
) -> None:
    """Run the default and every choice that the configuration knows, then compare."""
    wanted = [name for name in methods.split(",") if name]
    shared = ["share_forwards=true", "timing.warmup=0", *overrides, *([f"limit={limit}"] if limit else [])]
    names = [name for name in models.split(",") if name]
    base = load_config(config, shared, names, wanted)
    run(base, output / "default")
    default = read_records(output / "default")
    rows = []
    for title, choice in CHOICES.items():
        concerned = [method.label for method in base.methods if method.label in choice.methods]
        try:
            changed = load_config(config, [*shared, *choice.overrides], names, concerned or wanted)
        except BenchError as error:
            click.echo(f"{title}: left out: {error}", err=True)
            continue
        if not concerned:
            continue
        folder = output / title.replace(" ", "-")
        run(changed, folder)
        rows += deltas(title, default, read_records(folder))
    table = pd.DataFrame(rows)
    write_text_atomically(output / "deltas.csv", table.to_csv(index=False, lineterminator="\n"))
    text = tabulate(printed(table), headers="keys", tablefmt="github", disable_numparse=True)
    write_text_atomically(output / "deltas.md", text + "\n")
    click.echo(text)


def deltas(title: str, default: pd.DataFrame, changed: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per model and method: mean differences of every measure, with their intervals."""
    keys = ["model", "method", "image_id", "class_name"]
    joined = changed.merge(default, on=keys, suffixes=("", " before"))
    rows = []
    for (model, method), group in joined.groupby(["model", "method"], sort=False):
        values = pd.DataFrame({metric: group[metric] - group[f"{metric} before"] for metric in METRICS})
        kept = (
            group["maps_kept"].dropna().map(sum).mean() / group["maps_kept before"].dropna().map(sum).mean()
        )
        row: dict[str, Any] = {"model": model, "choice": title, "method": method, "pairs": len(group)}
        row["maps kept, share of the default's"] = kept
        for metric, estimate in estimate_means(
            values.set_index(pd.Index(group["image_id"], name="image_id"))
        ).items():
            row |= {
                f"{metric}": estimate.mean,
                f"{metric} low": estimate.low,
                f"{metric} high": estimate.high,
            }
        rows.append(row)
    return rows


def printed(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rounded to what a reader needs: points, with the interval behind them."""
    shown = table[["model", "choice", "method", "pairs"]].copy()
    shown["maps kept"] = table["maps kept, share of the default's"].map(
        lambda share: "" if pd.isna(share) else f"x {share:.2f}"
    )
    for metric in METRICS:
        shown[metric] = [
            f"{mean:+.2f}" + ("" if pd.isna(low) else f" [{low:+.2f}, {high:+.2f}]")
            for mean, low, high in zip(
                table[metric], table[f"{metric} low"], table[f"{metric} high"], strict=True
            )
        ]
    return shown.to_dict("records")


if __name__ == "__main__":
    main()
