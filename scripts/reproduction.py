"""Measure what the choices change that the papers leave open, each against the default on the same pairs.

    python scripts/reproduction.py --config configs/quickstart.yaml --output results/reproduction-scenes
    python scripts/reproduction.py --config configs/table1.yaml --limit 10 --set data.root=/data/voc \\
        --set models.resnet50.checkpoint=net.pth.tar --models resnet50 --output results/reproduction

    python scripts/reproduction.py --rules --config configs/quickstart.yaml --output results/rules-scenes

``--rules`` measures instead what the rules of the authors' code change, each alone and all together.

Runs resume. Writes DIR/deltas.md and DIR/deltas.csv: per model, choice and method, the mean difference of
every measure from the default, with its 95 % interval where there are ten pictures.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
from tabulate import tabulate

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.data.rules import SETS, Rules
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Key
from adasise_bench.reporting.statistics import estimate_means
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config, validate
from adasise_bench.run.runner import run
from adasise_bench.run.stored_maps import find_maps, measuring
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.files import write_text_atomically

METRICS = ["ebpg", "bbox", "drop", "increase", "miou"]
PAIR = ["model", "image_id", "class_name"]

VARIANTS: dict[str, dict[str, Any]] = {
    "selector fixed, mu 0.3": {"name": "ada_sise", "selector": "fixed", "mu": 0.3},
    "selector otsu": {"name": "ada_sise", "selector": "otsu"},
    "fusion soft": {"name": "ada_sise", "fusion": "soft"},
    "fusion soft, SISE": {"name": "sise", "fusion": "soft"},
    "single area 0.12, contrastive reward": {
        "name": "extremal_perturbation",
        "areas": [0.12],
        "reward": "contrastive",
    },
}
"""Choices that are options of a method: they run beside the default, on one scoring of the masks."""


class Setting(NamedTuple):
    """A choice that needs a run of its own."""

    title: str
    override: str


SETTINGS = (
    Setting("score sigmoid", "score=sigmoid"),
    Setting("score logit", "score=logit"),
    Setting("resize short-side", "data.resize=short-side"),
    Setting("input a third larger", "data.input_size={larger}"),
    Setting("VGG blocks after the pooling", "models.vgg16.blocks=pool-output"),
)


@click.command(help=__doc__)
@click.option("--config", required=True, type=click.Path(path_type=Path))
@click.option("--models", type=COMMA_LIST, default="")
@click.option("--methods", type=COMMA_LIST, default="")
@click.option("--limit", type=int)
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="For the default and all choices."
)
@click.option("--rules", "of_rules", is_flag=True, help="Measure what the rules of the authors' code change.")
@click.option("--output", required=True, type=click.Path(path_type=Path))
def main(
    config: Path,
    models: list[str],
    methods: list[str],
    limit: int | None,
    overrides: tuple[str, ...],
    of_rules: bool,
    output: Path,
) -> None:
    """Run the default, then what differs from it, and compare pair by pair."""
    common = ["share_forwards=true", "timing.warmup=0", *overrides, *([f"limit={limit}"] if limit else [])]
    if of_rules:
        base = load_config(config, [*common, "save_maps=true", "rules=protocol"], models, methods)
        write(output, rule_deltas(base, output))
        return
    base = load_config(config, common, models, methods)
    folder = output / "default"
    run(with_variants(base), folder)
    records = read_records(folder)
    rows = []
    for title, variant in VARIANTS.items():
        before, after = records["method"] == variant["name"], records["method"] == label(title)
        rows += deltas(title, records[before], records[after])
    for setting in SETTINGS:
        override = setting.override.format(larger=round(base.data.input_size * 4 / 3))
        try:
            changed = load_config(config, [*common, override], models, ["ada_sise"])
        except BenchError as error:
            click.echo(f"{setting.title}: left out: {error}", err=True)
            continue
        folder = output / label(setting.title)
        run(changed, folder)
        rows += deltas(setting.title, records[records["method"] == "ada_sise"], read_records(folder))
    write(output, rows)


def write(output: Path, rows: list[dict[str, Any]]) -> None:
    """Write the differences into the folder, in full as CSV and rounded as a table, and print the table."""
    table = pd.DataFrame(rows)
    write_text_atomically(output / "deltas.csv", table.to_csv(index=False, lineterminator="\n"))
    text = tabulate(printed(table), headers="keys", tablefmt="github", disable_numparse=True)
    write_text_atomically(output / "deltas.md", text + "\n")
    click.echo(text)


def label(title: str) -> str:
    """A choice's title as a method's label and a folder's name."""
    return title.replace(",", "").replace(" ", "-")


def with_variants(base: RunConfig) -> RunConfig:
    """The configuration with every variant of its methods, with the options that its default has."""
    tree = base.model_dump(mode="json")
    by_label = {entry["label"]: entry for entry in tree["methods"]}
    tree["methods"] += [
        by_label[variant["name"]] | variant | {"label": label(title)}
        for title, variant in VARIANTS.items()
        if variant["name"] in by_label
    ]
    return validate(tree, "variants")


RAISED = "-otsu-raised"
"""Ends the labels of the entries whose Otsu threshold is raised."""


def rule_deltas(base: RunConfig, output: Path) -> list[dict[str, Any]]:
    """What each rule changes, and all together.

    There are two runs that make maps, one for each preprocessing. In both, SISE and Ada-SISE have an entry
    with the raised threshold, which uses the same scored masks. Ties and corners are measured on the maps of
    these runs.
    """
    authors, every = SETS["authors-code"], with_raised_otsu(base)
    inputs = {"preprocessing": authors["preprocessing"]}
    run(every, output / "protocol")
    run(every.model_copy(update={"rules": Rules(**inputs)}), output / "preprocessing")
    before, changed = (read_records(output / name) for name in ("protocol", "preprocessing"))
    plain = [method.label for method in base.methods]
    raised = {f"{label}{RAISED}": label for label in plain}
    found = {
        f"{rule}: {authors[rule]}": remeasured(every, output / "protocol", {rule: authors[rule]})
        for rule in ("ties", "corners")
    }
    found[f"preprocessing: {authors['preprocessing']}"] = changed
    found[f"otsu: {authors['otsu']}"] = renamed(before, raised)
    both = remeasured(
        every, output / "preprocessing", inputs | {rule: authors[rule] for rule in ("ties", "corners")}
    )
    of_all = both[~both["method"].isin([raised[name] for name in both["method"].unique() if name in raised])]
    found["all four"] = renamed(of_all, raised | {label: label for label in plain})
    return [
        row
        for title, after in found.items()
        for label in plain
        for row in deltas(title, before[before["method"] == label], after[after["method"] == label])
    ]


def with_raised_otsu(base: RunConfig) -> RunConfig:
    """The configuration with a second entry, with the raised threshold, for each method that has one."""
    tree = base.model_dump(mode="json")
    tree["methods"] += [
        entry | {"otsu": "raised", "label": f"{entry['label']}{RAISED}"}
        for entry in tree["methods"]
        if "otsu" in entry
    ]
    return validate(tree, "rules")


def renamed(records: pd.DataFrame, names: dict[str, str]) -> pd.DataFrame:
    """The records of these labels, under other labels."""
    kept = records[records["method"].isin(list(names))]
    return kept.assign(method=kept["method"].map(names))


def remeasured(config: RunConfig, folder: Path, rules: dict[str, str]) -> pd.DataFrame:
    """The records of a run's maps, measured under other rules in a run folder beside the run's."""
    changed = config.model_copy(update={"rules": Rules(**rules)})
    measured, _ = measuring(changed, find_maps(folder, changed))
    beside = folder.with_name(f"{folder.name}-{'-'.join(rules)}")
    run(measured, beside)
    kept = read_records(folder)[[*Key._fields, "maps_kept"]]
    return read_records(beside).drop(columns="maps_kept").merge(kept, on=list(Key._fields))


def deltas(title: str, before: pd.DataFrame, after: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per model: mean differences of every measure, with their intervals."""
    joined = after.merge(before, on=PAIR, suffixes=("", " before"))
    rows = []
    for model, group in joined.groupby("model", sort=False):
        differences = {metric: (group[metric] - group[f"{metric} before"]).tolist() for metric in METRICS}
        index = pd.Index(group["image_id"], name="image_id")
        row: dict[str, Any] = {
            "model": model,
            "choice": title,
            "method": group["method before"].iloc[0],
            "pairs": len(group),
            "maps kept, share of the default's": total(group["maps_kept"]) / total(group["maps_kept before"]),
        }
        for metric, estimate in estimate_means(pd.DataFrame(differences, index=index)).items():
            row |= {
                str(metric): estimate.mean,
                f"{metric} low": estimate.low,
                f"{metric} high": estimate.high,
            }
        rows.append(row)
    return rows


def total(maps: pd.Series[Any]) -> float:
    """Mean number of maps over all blocks; NaN for methods without any."""
    return float(maps.dropna().map(sum).mean())


def printed(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """Rounded to what a reader needs: points, with the interval behind them."""
    shown = table[["model", "choice", "method", "pairs"]].copy()
    shown["maps kept"] = table["maps kept, share of the default's"].map(
        lambda share: "" if pd.isna(share) else f"x {share:.2f}"
    )
    for metric in METRICS:
        ends = zip(table[metric], table[f"{metric} low"], table[f"{metric} high"], strict=True)
        shown[metric] = [
            f"{mean:+.2f}" + ("" if pd.isna(low) else f" [{low:+.2f}, {high:+.2f}]")
            for mean, low, high in ends
        ]
    return shown.to_dict("records")


if __name__ == "__main__":
    main()
