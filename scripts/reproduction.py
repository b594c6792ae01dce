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

import json
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
import torch
from tabulate import tabulate

from adasise_bench.cli.parameters import COMMA_LIST
from adasise_bench.data.rules import SETS, Rules
from adasise_bench.metrics.pair import Pair, compute
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.maps import read_map
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Key
from adasise_bench.reporting.statistics import estimate_means
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config, validate
from adasise_bench.run.plan import make_plan
from adasise_bench.run.runner import run
from adasise_bench.run.worker import load_ahead
from adasise_bench.utils.devices import pick_device
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
    """The metrics of a run's maps under other rules: a line for each pair and method, as they are made.

    What the file of an earlier call holds already is not measured again.
    """
    path = folder.with_name(f"{folder.name}-{'-'.join(rules)}.jsonl")
    there = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    known = {tuple(one[name] for name in Key._fields) for one in there}
    records = read_records(folder)
    records = records[records["error"].isna()]
    with path.open("a", buffering=1) as file:
        for line in _remeasured(config.model_copy(update={"rules": Rules(**rules)}), folder, records, known):
            file.write(json.dumps(line) + "\n")
            there.append(line)
    return pd.DataFrame(there).merge(records[[*Key._fields, "maps_kept"]], on=list(Key._fields))


def _remeasured(
    config: RunConfig, folder: Path, records: pd.DataFrame, known: set[tuple[Any, ...]]
) -> Iterator[dict[str, Any]]:
    plan, device = make_plan(config), pick_device(config.device)
    for name in config.models:
        classifier = network.load(config, name, device, plan.dataset.classes)
        keys = [Key(*row) for row in records[list(Key._fields)].itertuples(index=False) if row.model == name]
        todo: dict[str, list[Key]] = {}
        for key in (key for key in keys if key not in known):
            todo.setdefault(key.image_id, []).append(key)
        anything: dict[str, str | None] = dict.fromkeys(todo)
        for image_id, loaded in load_ahead(plan, todo, anything, classifier.preprocessing):
            if isinstance(loaded, BenchError):
                raise loaded
            annotation, image = loaded[0], loaded[1].to(device)
            scores = cache(partial(_scores, classifier, image))
            for key in todo[image_id]:
                class_name = str(key.class_name)
                pair = Pair(
                    classifier, image, classifier.classes.index(class_name), class_name,
                    torch.from_numpy(read_map(folder, key)).to(device),
                    annotation.inside(class_name, (image.shape[2], image.shape[3])), annotation, None, scores,
                    _not_again, config.rules.ties,
                )  # fmt: skip
                values = compute(pair)
                yield key._asdict() | {metric: values[metric] for metric in METRICS}


def _scores(classifier: Classifier, image: torch.Tensor) -> torch.Tensor:
    return classifier.reference_scores(image)[0]


def _not_again(_: Classifier) -> torch.Tensor:
    raise AssertionError("no metric of this table explains again")


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
