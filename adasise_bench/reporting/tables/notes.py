"""The notes under the tables: what a reader must know before comparing the numbers, one line each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from adasise_bench.data.rules import SETS, Rules
from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.run import Run
from adasise_bench.reporting import statistics
from adasise_bench.reporting.published import VOC, published, sources
from adasise_bench.reporting.tables.accuracy import accuracy_notes
from adasise_bench.reporting.tables.blind import best_blind
from adasise_bench.reporting.tables.breakdown import HIGH_SCORE, LOW_SCORE, OUTCOMES, SIZES
from adasise_bench.reporting.tables.model import Cell, Row, Table, counted_pairs, number, title_of
from adasise_bench.reporting.tables.origins import digest_names, is_stored, maker_of, origin_notes
from adasise_bench.reporting.tables.scores import PAIR
from adasise_bench.utils.messages import printable

SHOWN_ERRORS = 3
ERROR_LENGTH = 150


def notes(
    runs: Sequence[Run], records: pd.DataFrame, tables: Sequence[Table], data: Mapping[str, str]
) -> Iterator[str]:
    """The notes of these tables; ``data`` names the data set of every model."""
    yield from _published_notes(tables, data)
    yield from caveats(runs, records)
    yield from origin_notes(runs)
    yield from dict.fromkeys(note for run in runs for note in rules_notes(run.config["rules"]))
    yield from _option_notes(runs)
    yield from _area_notes(runs)
    for run in runs:
        yield _run_note(run)
    methods = {entry["name"] for run in runs for entry in run.config["methods"]}
    told = digest_names(runs)
    definitions = {
        definition
        for run in runs
        for name, definition in run.environment["definitions"].items()
        if name not in told
        and (name in methods or name not in METHODS)
        and (name not in records or records[name].notna().any())
    }
    if definitions:
        yield f"Definitions: {', '.join(sorted(definitions))}."
    apart = [title_of(label) for label in control_labels(runs)]
    if apart:
        do = "controls, which do" if len(apart) > 1 else "a control, which does"
        are = "are" if len(apart) > 1 else "is"
        yield f"{', '.join(apart)}: {do} not ask the network and {are} never marked as best."
    yield from statistics_notes(tables)
    yield from _unmarked_notes(tables)
    yield from _run_time_notes(records, tables, data)
    yield from _chance_notes(records, tables)
    yield from _degenerate_notes(runs, records)
    yield from _precision_notes(runs, records)
    yield from _score_notes(runs, records)
    yield from accuracy_notes(tables)
    errors = records["error"].dropna()
    texts = "; ".join(_one_line(str(text)) for text in errors.unique()[:SHOWN_ERRORS])
    yield f"Errors: {len(errors)}" + (f", among them: {texts}" if texts else ".")


def control_labels(runs: Iterable[Run]) -> list[str]:
    """Labels of the runs' entries that are controls."""
    entries = [entry for run in runs for entry in run.config["methods"]]
    return [
        entry["label"] for entry in entries if (name := maker_of(entry)) in METHODS and METHODS[name].control
    ]


def caveats(runs: Sequence[Run], records: pd.DataFrame) -> Iterator[str]:
    """Why the numbers cannot be compared with the paper's: other weights, part of the data, drawn scenes.

    Args:
        runs: what was run.
        records: their records, combined.
    """
    weights = {model: facts for run in runs for model, facts in run.environment["models"].items()}
    for model, group in records.groupby("model", sort=False):
        yield from model_notes(str(model), weights[str(model)])
        yield from _coverage_notes(str(model), runs, group)
    if any(run.environment["data"]["embedded"] for run in runs):
        yield "Data: drawn scenes, not photographs; numbers are not comparable with the paper's."


def _degenerate_notes(runs: Sequence[Run], records: pd.DataFrame) -> Iterator[str]:
    """Explanations whose numbers follow from a definition and say nothing about the method."""
    flat = records[records["degenerate"].eq(True)]
    blind = int(flat["maps_positive"].map(lambda counts: counts is not None and not any(counts)).sum())
    without = f"; in {blind} of them, no block has a positive gradient" if blind else ""
    yield f"Degenerate maps (all pixels equal): {len(flat)}{without}."
    if worthless := int((records["score"] <= 0).sum()):
        have, their = ("explanation has", "its") if worthless == 1 else ("explanations have", "their")
        yield f"{worthless} {have} a score of 0 or less; by definition, {their} Drop is 0 or 100."
    saturated = int((records["score"] >= 1).sum())
    if saturated and any(run.config["score"] != "logit" for run in runs):
        have, their = ("explanation has", "its") if saturated == 1 else ("explanations have", "their")
        yield f"{saturated} {have} a score of 1. Nothing can raise it, so {their} Increase is 0."


def _precision_notes(runs: Sequence[Run], records: pd.DataFrame) -> Iterator[str]:
    """How many explanations by a faster precision had their masks scored in fp32 after all."""
    asked = dict.fromkeys(run.environment["precision"] for run in runs)
    asked.pop("fp32", None)
    checked = records["mask_precision"].dropna()
    if len(checked):
        yield (
            f"In {int((checked == 'fp32').sum())} of {len(checked)} explanations the masks were scored in "
            f"fp32, because {' or '.join(asked)} disagreed on a sample of them."
        )


def _score_notes(runs: Sequence[Run], records: pd.DataFrame) -> Iterator[str]:
    """How many pairs have a score near one of its ends, where Drop and Increase say little."""
    raw = {model for run in runs if run.config["score"] == "logit" for model in run.config["models"]}
    known = records.dropna(subset=["score", "class_name"]).drop_duplicates(["model", *PAIR])
    for model, scores in known.groupby("model", sort=False)["score"]:
        if model in raw:
            continue
        low, high = (_share(beyond) for beyond in (scores < LOW_SCORE, scores > HIGH_SCORE))
        yield (
            f"{title_of(str(model))}: of {len(scores)} pairs, the score of the class is under {LOW_SCORE:g} "
            f"in {low} and over {HIGH_SCORE:g} in {high}; Drop and Increase say little there "
            "(`table --by score` shows them apart)."
        )


def _share(chosen: pd.Series[bool]) -> str:
    return f"{int(chosen.sum())} ({100 * chosen.mean():.1f} %)"


def _cells(tables: Iterable[Table]) -> Iterator[Cell]:
    return (cell for table in tables for row in table.rows for cell in row.cells)


def _published_notes(tables: Sequence[Table], data: Mapping[str, str]) -> Iterator[str]:
    scores = [table for table in tables if table.name != "table2"]
    for name in dict.fromkeys(data.values()):
        for rank, source in enumerate(sources(name, _figures(scores, data, name))):
            yield f"Published{', where the former has no number' if rank else ''}: {source}."
    if _published_cells(table for table in tables if table.name == "table2"):
        paper = published("ada_sise")
        yield f"Published map counts: {paper['source']}, means over {paper['table2']['images']} images."


def _published_cells(tables: Iterable[Table]) -> list[Cell]:
    return [cell for cell in _cells(tables) if cell.published is not None]


def _figures(tables: Iterable[Table], data: Mapping[str, str], name: str) -> set[tuple[str, str, str]]:
    """Model, method and metric of the published figures that the tables show for one data set."""
    return {
        (table.model, str(cell.method), cell.metric)
        for table in tables
        if data[table.model] == name
        for cell in _published_cells([table])
    }


def statistics_notes(tables: Sequence[Table]) -> Iterator[str]:
    """What the intervals, means and differences in these tables are."""
    cells = list(_cells(tables))
    if any(cell.low is not None for cell in cells):
        yield (
            f"Intervals: {100 * statistics.CONFIDENCE:.0f} % percentile bootstrap over images, each with all "
            f"its pairs ({statistics.RESAMPLES} resamples, seed {statistics.SEED}). There is none for "
            f"quantiles, for fewer than {statistics.MINIMUM_IMAGES} images, and for images whose values are "
            "all equal."
        )
    elif any(cell.images for cell in cells):
        yield (
            f"Intervals: none. An interval needs at least {statistics.MINIMUM_IMAGES} images "
            "whose values are not all equal."
        )
    metrics = [METRICS[cell.metric] for cell in cells if cell.metric in METRICS]
    titles = dict.fromkeys(metric.title for metric in metrics if metric.average == "classes")
    if titles:
        yield f"Means of the classes' means: {'; '.join(titles)}. All other means are taken over pairs."
    if any(cell.against for cell in cells):
        yield (
            "Differences are means over the pairs that both methods explained. "
            "Their intervals are not adjusted for the number of comparisons."
        )
    if groups := {cell.group for cell in cells} & set(SIZES):
        bounds = ", ".join(f"{name} from {bound:g} %" for name, bound in SIZES.items() if name in groups)
        yield f"Object size is the share of the network's input inside the class's boxes: {bounds}."
    if {cell.group for cell in cells} & set(OUTCOMES):
        yield (
            "Outcome: the place of the class among the data's classes, by the network's scores of the whole "
            "picture."
        )


def _chance_notes(records: pd.DataFrame, tables: Iterable[Table]) -> Iterator[str]:
    """What one gets without looking at the picture, for the pairs that any method explained."""
    shown = {cell.metric for cell in _cells(tables)}
    explained = records.dropna(subset=["score"]).drop_duplicates(["model", "image_id", "class_name"])
    sentences = {
        str(model): ", ".join(
            f"{METRICS[metric].title.removesuffix(', %')} {number(level.mean, 'percent')} ({level.title})"
            for metric in METRICS
            if metric in shown and (level := best_blind(pairs, metric))
        )
        for model, pairs in explained.groupby("model", sort=False)
    }
    for sentence in filter(None, dict.fromkeys(sentences.values())):
        models = [title_of(model) for model, other in sentences.items() if other == sentence]
        of = "" if len(models) == len(sentences) else f" of {' and '.join(models)}"
        yield f"Without looking at the picture: {sentence}, for these pairs{of}."


def _unmarked_notes(tables: Iterable[Table]) -> Iterator[str]:
    for table in tables:
        unmarked = [row.title for row in table.rows if _is_unmarked(row)]
        if unmarked:
            yield (
                f"{table.title}: no best value is marked in {'; '.join(unmarked)}, because the methods "
                "were measured on different pairs or devices."
            )


def _is_unmarked(row: Row) -> bool:
    values = [cell for cell in row.cells if cell.measured is not None and cell.against is None]
    printed = {number(cell.measured, row.unit) for cell in values if cell.measured is not None}
    return row.direction is not None and len(printed) > 1 and not any(cell.best for cell in values)


def _one_line(text: str) -> str:
    return textwrap.shorten(printable(text), ERROR_LENGTH, placeholder=" ...")


def model_notes(model: str, weights: Mapping[str, Any]) -> Iterator[str]:
    """That a network's weights are not the published ones; ``weights`` is what an environment says of it."""
    if not weights["published"]:
        digest = weights["weights_sha256"][:12]
        yield (
            f"{title_of(model)}: not the published model: {weights['weights_file']}, SHA-256 {digest}; "
            "numbers are not comparable with the paper's."
        )


def rules_notes(given: Mapping[str, str]) -> Iterator[str]:
    """By which rules was made and measured, where these are not the protocol's."""
    rules = Rules.model_validate(given)
    if changed := rules.changed():
        listed = ", ".join(f"{name}={value}" for name, value in changed.items())
        name = rules.title if rules.title in SETS else "not the protocol's"
        yield f"Rules: {name} ({listed}); numbers by other rules are not comparable with these."


def _option_notes(runs: Sequence[Run]) -> Iterator[str]:
    stored = {entry["label"] for run in runs for entry in run.config["methods"] if is_stored(entry)}
    changed = {
        label: options
        for run in runs
        for label, options in run.environment["methods"].items()
        if label not in stored  # their notes say where they come from
    }
    for label, options in changed.items():
        if options:
            listed = ", ".join(f"{option}={value}" for option, value in options.items())
            yield f"{title_of(label)}: options that are not the default: {listed}."
    models = {model: entry for run in runs for model, entry in run.config["models"].items()}
    facts = {model: facts for run in runs for model, facts in run.environment["models"].items()}
    for model, entry in models.items():
        if "source" in entry:
            blocks = ", ".join(facts.get(model, {}).get("blocks", []))
            yield f"{title_of(model)}: own network ({entry['source']}); feature maps are read after {blocks}."
        elif entry.get("blocks") != "pool-input":
            yield f"{title_of(model)}: feature maps are read at the {entry.get('blocks')} side of the blocks."


def _area_notes(runs: Sequence[Run]) -> Iterator[str]:
    """What the areas of Extremal Perturbation are shares of, if not of the picture."""
    entries = [entry for run in runs for entry in run.config["methods"]]
    labels = [
        entry["label"]
        for entry in entries
        if entry["name"] == "extremal_perturbation" and entry.get("areas_of", "frame") == "frame"
    ]
    for label in dict.fromkeys(labels):
        yield (
            f"{title_of(label)}: areas are shares of the frame, which reaches beyond the picture, as "
            "in TorchRay. As shares of the picture, they are larger."
        )


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
    left_out = environment["data"].get("left_out")
    without = f" (pictures without objects left out: {left_out})" if left_out else ""
    return (
        f"{run.folder.name}: {environment['data']['name']}{without}, {picture}, "
        f"score {run.config['score']}, {environment['device_name']} ({environment['device']}), "
        f"{environment['precision']}, torch {environment['torch']}, adasise-bench {tool['version']}{commit}."
    )


def _run_time_notes(records: pd.DataFrame, tables: Sequence[Table], data: Mapping[str, str]) -> Iterator[str]:
    seconds = [cell for cell in _cells(tables) if cell.metric.startswith("seconds")]
    devices = [
        f"{device} ({_extent(group.groupby(['model', 'method']).size())})"
        for device, group in records.dropna(subset=["timed_on"]).groupby("timed_on", sort=False)
    ]
    if seconds and devices:
        note = f"Run-time was measured on {'; '.join(devices)}"
        if any(cell.published is not None for cell in seconds):
            paper = published("ada_sise")["figure4"]
            note += f". The published times are from {paper['device']}, {paper['images']} images"
            figures = {figure for figure in _figures(tables, data, VOC) if figure[2].startswith("seconds")}
            if len(list(sources(VOC, figures))) > 1:
                note += " (Ada-SISE's paper; for the others, their slides)"
        yield f"{note}."


def _extent(pairs: pd.Series[int]) -> str:
    low, high = pairs.min(), pairs.max()
    if low == high:
        return counted_pairs(low)
    return f"{low} to {high} pairs, depending on the method"
