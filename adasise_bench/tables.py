"""Turns runs into Table 1 and Table 2 of Ada-SISE (arXiv 2102.07799), every number with its n."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import pandas as pd

from adasise_bench.published import published, published_table1, published_table2
from adasise_bench.runs import Run, combine

Direction = Literal["up", "down"]
Unit = Literal["percent", "seconds", "maps", "count"]

TITLES = {
    "vgg16": "VGG16",
    "resnet50": "ResNet-50",
    "extremal_perturbation": "Extremal Perturbation",
    "sise": "SISE",
    "ada_sise": "Ada-SISE",
}
SHOWN_ERRORS = 3
ERROR_LENGTH = 150


class Measure(NamedTuple):
    """A row of Table 1: its title, the better direction and the unit of its numbers."""

    title: str
    direction: Direction | None
    unit: Unit


MEASURES = {
    "ebpg": Measure("EBPG, %", "up", "percent"),
    "bbox": Measure("Bbox, %", "up", "percent"),
    "drop": Measure("Drop, %", "down", "percent"),
    "increase": Measure("Increase, %", "up", "percent"),
    "miou": Measure("mIoU, %", "up", "percent"),
    "seconds": Measure("Run-time, s", "down", "seconds"),
}
BOX_SHARE = Measure("Boxes' area share, %", None, "percent")
COUNTS = {
    "pairs": Measure("Pairs", None, "count"),
    "degenerate": Measure("Degenerate maps", None, "count"),
    "errors": Measure("Errors", None, "count"),
}


@dataclass(frozen=True)
class Cell:
    """One number of a table.

    Attributes:
        method: label of the method; ``None`` where the number belongs to the network.
        metric: name of what was measured.
        measured: the mean or count; ``None`` when there is nothing to take it over.
        n: how many values ``measured`` rests on; ``None`` where it is no statistic.
        of: how many values there should be.
        published: the paper's number.
        best: the best measured value of its row, at the printed precision.
    """

    method: str | None
    metric: str
    measured: float | None
    n: int | None
    of: int | None
    published: float | None = None
    best: bool = False


@dataclass(frozen=True)
class Row:
    """One line of a table; ``direction`` says which values are better."""

    title: str
    direction: Direction | None
    unit: Unit
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """One table for one network."""

    name: str
    model: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Tables:
    """Everything that a report shows."""

    tables: tuple[Table, ...]
    notes: tuple[str, ...]


def build_tables(runs: Sequence[Run]) -> Tables:
    """Table 1 and Table 2 for every network in the runs, the published numbers beside the measured.

    Raises:
        ConfigError: the runs do not fit together.
        DataError: there is not one record.
    """
    records = combine(runs)
    methods = {entry["label"]: entry["name"] for run in runs for entry in run.config["methods"]}
    available = {
        model: facts["maps_available"] for run in runs for model, facts in run.environment["models"].items()
    }
    models = in_paper_order(records["model"].unique(), published_table1())
    by_model = {model: records[records["model"] == model] for model in models}
    tables = [_table1(model, group, methods) for model, group in by_model.items()]
    tables += [
        _table2(model, group, methods, available[model])
        for model, group in by_model.items()
        if group["maps_kept"].notna().any()
    ]
    return Tables(tuple(tables), tuple(_notes(runs, records)))


def number(value: float, unit: Unit) -> str:
    """A number as it is printed: percent with 2 decimals, seconds below 1 with 2 significant digits."""
    if isinstance(value, int):
        return str(value)
    if unit == "seconds" and value < 1:
        return f"{value:#.2g}"
    return f"{value:.1f}" if unit == "maps" else f"{value:.2f}"


def title_of(name: str) -> str:
    """The papers' name of a model or method, or the label itself."""
    return TITLES.get(name, name)


def in_paper_order(present: Iterable[str], paper: Iterable[str]) -> list[str]:
    """Names in the order of the paper's; those that it lacks come last, as they stand."""
    order = list(paper)
    return sorted(present, key=lambda name: order.index(name) if name in order else len(order))


def _by_method(records: pd.DataFrame) -> dict[str, pd.DataFrame]:
    order = next(iter(published_table1().values()))
    labels = in_paper_order(records["method"].unique(), order)
    return {label: records[records["method"] == label] for label in labels}


def _table1(model: str, records: pd.DataFrame, methods: dict[str, str]) -> Table:
    groups = _by_method(records)
    paper = published_table1().get(model, {})
    pairs = {label: int(group["class_name"].notna().sum()) for label, group in groups.items()}

    def score_cell(label: str, metric: str) -> Cell:
        figure = paper.get(label, {}).get(metric) if methods.get(label) == label else None
        return _mean_cell(label, metric, groups[label][metric], pairs[label], figure)

    rows = [
        _mark_best(Row(*measure, tuple(score_cell(label, metric) for label in groups)))
        for metric, measure in MEASURES.items()
    ]
    known = records.dropna(subset=["box_share", "class_name"]).drop_duplicates(["image_id", "class_name"])
    shares = (_mean_cell(label, "box_share", known["box_share"], pairs[label]) for label in groups)
    rows.append(Row(*BOX_SHARE, tuple(shares)))
    counts = [_counts(label, group, pairs[label]) for label, group in groups.items()]
    rows += [
        Row(*measure, cells)
        for measure, cells in zip(COUNTS.values(), zip(*counts, strict=True), strict=True)
    ]
    title = f"Table 1, {title_of(model)}: explanation quality and run-time"
    return Table("table1", model, title, tuple(groups), tuple(rows))


def _mean_cell(
    label: str, metric: str, column: pd.Series[Any], of: int, published_figure: float | None = None
) -> Cell:
    values = pd.to_numeric(column).dropna()
    mean = float(values.mean()) if len(values) else None
    return Cell(label, metric, mean, len(values), of, published_figure)


def _counts(label: str, group: pd.DataFrame, pairs: int) -> tuple[Cell, Cell, Cell]:
    explained = group["degenerate"].dropna()
    return (
        Cell(label, "pairs", pairs, pairs, pairs),
        Cell(label, "degenerate", int(explained.sum()), len(explained), pairs),
        Cell(label, "errors", int(group["error"].notna().sum()), len(group), len(group)),
    )


def _mark_best(row: Row) -> Row:
    printed = [
        None if cell.measured is None else float(number(cell.measured, row.unit)) for cell in row.cells
    ]
    values = [value for value in printed if value is not None]
    if len(values) < 2:
        return row
    best = max(values) if row.direction == "up" else min(values)
    cells = (replace(cell, best=value == best) for cell, value in zip(row.cells, printed, strict=True))
    return replace(row, cells=tuple(cells))


def _table2(model: str, records: pd.DataFrame, methods: dict[str, str], available: Sequence[int]) -> Table:
    paper = published_table2(model)
    blocks = tuple(f"p{block}" for block in range(1, len(available) + 1))
    rows = [_maps_row("Available", None, "maps_available", available, None, paper.get("available"))]
    for label, group in _by_method(records).items():
        for metric, verb in (("maps_kept", "kept"), ("maps_positive", "positive")):
            lists = group[metric].dropna()
            if lists.empty:
                continue
            means = pd.DataFrame(lists.tolist()).mean().tolist()
            shown = metric == "maps_kept" and methods.get(label) == label
            title = f"{title_of(label)}, {verb} (n={len(lists)})"
            rows.append(
                _maps_row(title, label, metric, means, len(lists), paper.get(label) if shown else None)
            )
    title = f"Table 2, {title_of(model)}: mean number of feature maps per block"
    return Table("table2", model, title, blocks, tuple(rows))


def _maps_row(
    title: str,
    label: str | None,
    metric: str,
    values: Sequence[float],
    n: int | None,
    paper: Sequence[int] | None,
) -> Row:
    cells = tuple(
        Cell(label, f"{metric}_p{block}", value, n, n, paper[block - 1] if paper else None)
        for block, value in enumerate(values, 1)
    )
    return Row(title, None, "maps", cells)


def _notes(runs: Sequence[Run], records: pd.DataFrame) -> Iterator[str]:
    """What a reader must know before comparing the numbers, one line each."""
    paper = published("ada_sise")
    yield f"Published: {paper['source']}; its map counts are means over {paper['table2']['images']} images."
    weights = {model: facts for run in runs for model, facts in run.environment["models"].items()}
    for model, group in records.groupby("model", sort=False):
        yield from _model_notes(str(model), weights[str(model)])
        yield from _coverage_notes(str(model), runs, group)
    yield from _option_notes(runs)
    if any(run.environment["data"]["embedded"] for run in runs):
        yield "Data: drawn scenes, not photographs; numbers are not comparable with the paper's."
    for run in runs:
        yield _run_note(run)
    definitions = {name for run in runs for name in run.environment["definitions"].values()}
    if definitions:
        yield f"Definitions: {', '.join(sorted(definitions))}."
    yield from _run_time_notes(records)
    degenerate = int(records["degenerate"].dropna().sum())
    yield f"Degenerate maps (all pixels equal): {degenerate}."
    errors = records["error"].dropna()
    texts = "; ".join(_one_line(str(text)) for text in errors.unique()[:SHOWN_ERRORS])
    yield f"Errors: {len(errors)}" + (f", among them: {texts}" if texts else ".")


def _one_line(text: str) -> str:
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return textwrap.shorten(printable, ERROR_LENGTH, placeholder=" ...")


def _model_notes(model: str, weights: dict[str, Any]) -> Iterator[str]:
    if not weights["published"]:
        digest = weights["weights_sha256"][:12]
        yield (
            f"{title_of(model)}: not the published model: {weights['weights_file']}, SHA-256 {digest}; "
            "numbers are not comparable with the paper's."
        )


def _option_notes(runs: Sequence[Run]) -> Iterator[str]:
    changed = {label: options for run in runs for label, options in run.environment["methods"].items()}
    for label, options in changed.items():
        if options:
            listed = ", ".join(f"{option}={value}" for option, value in options.items())
            yield f"{title_of(label)}: not the default options: {listed}."
    blocks = {model: entry.get("blocks") for run in runs for model, entry in run.config["models"].items()}
    for model, side in blocks.items():
        if side != "pool-input":
            yield f"{title_of(model)}: feature maps read at the {side} side of the blocks."


def _coverage_notes(model: str, runs: Sequence[Run], group: pd.DataFrame) -> Iterator[str]:
    facts = [run.environment["data"] for run in runs if model in run.environment["models"]]
    whole = max(facts, key=lambda data: data["full_images"] or data["images"])
    if whole["full_images"]:
        all_images, all_pairs = whole["full_images"], whole["full_pairs"]
    else:
        all_images, all_pairs = whole["images"], whole["pairs"]
    images = group["image_id"].nunique()
    pairs = len(group.dropna(subset=["class_name"]).drop_duplicates(["image_id", "class_name"]))
    if images < all_images or (all_pairs and pairs < all_pairs):
        of_pairs = f" of {all_pairs}" if all_pairs else ""
        yield f"{title_of(model)}: {images} of {all_images} images ({pairs}{of_pairs} pairs)."


def _run_note(run: Run) -> str:
    environment, data = run.environment, run.config["data"]
    picture = f"input {data['input_size']} px ({data['resize']})"
    tool = environment["tool"]
    commit = f" (commit {tool['commit']})" if tool["commit"] else ""
    return (
        f"{run.folder.name}: {environment['data']['name']}, {picture}, "
        f"score {run.config['score']}, {environment['device_name']} ({environment['device']}), "
        f"{environment['precision']}, torch {environment['torch']}, adasise-bench {tool['version']}{commit}."
    )


def _run_time_notes(records: pd.DataFrame) -> Iterator[str]:
    devices = records["timed_on"].value_counts(sort=False)
    if not devices.empty:
        measured = "; ".join(f"{device} (n={n})" for device, n in devices.items())
        paper = published("ada_sise")["figure4"]
        yield f"Run-time measured on {measured}; published: {paper['device']}, {paper['images']} images."
