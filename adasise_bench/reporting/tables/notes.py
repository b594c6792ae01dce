"""The notes under the tables: what a reader must know before comparing the numbers, one line each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adasise_bench.data.rules import SETS, Rules
from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.columns import NetworkRecords, has, words
from adasise_bench.records.record import CHANCE, SCHEMA
from adasise_bench.records.run import Run
from adasise_bench.reporting import statistics
from adasise_bench.reporting.published import VOC, published, sources
from adasise_bench.reporting.tables.accuracy import accuracy_notes
from adasise_bench.reporting.tables.blind import best_blind
from adasise_bench.reporting.tables.breakdown import HIGH_SCORE, LOW_SCORE, OUTCOMES, SIZES
from adasise_bench.reporting.tables.model import Cell, Row, Table, counted_pairs, number, title_of
from adasise_bench.reporting.tables.origins import digest_names, is_stored, maker_of, origin_notes
from adasise_bench.utils.messages import printable

SHOWN_ERRORS = 3
ERROR_LENGTH = 150


def notes(
    runs: Sequence[Run],
    networks: Mapping[str, NetworkRecords],
    tables: Sequence[Table],
    data: Mapping[str, str],
) -> Iterator[str]:
    """The notes of these tables; ``data`` names the data set of every model."""
    yield from _published_notes(tables, data)
    yield from caveats(runs, networks)
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
        and (name not in SCHEMA.names or has(networks, name))
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
    yield from _run_time_notes(networks, tables, data)
    yield from _chance_notes(networks, tables)
    yield from _degenerate_notes(runs, networks)
    yield from _precision_notes(runs, networks)
    yield from _score_notes(runs, networks)
    yield from accuracy_notes(tables)
    count, different = _errors(networks)
    texts = "; ".join(map(_one_line, different[:SHOWN_ERRORS]))
    yield f"Errors: {count}" + (f", among them: {texts}" if texts else ".")


def _errors(networks: Mapping[str, NetworkRecords]) -> tuple[int, list[str]]:
    """The number of errors, and their different texts."""
    count, texts = 0, []
    for network in networks.values():
        codes, known = network.errors()
        left = np.unique(codes[codes >= 0])
        count += int((codes >= 0).sum())
        texts += [known[code] for code in left]
    return count, list(dict.fromkeys(texts))


def control_labels(runs: Iterable[Run]) -> list[str]:
    """Labels of the runs' entries that are controls."""
    entries = [entry for run in runs for entry in run.config["methods"]]
    return [
        entry["label"] for entry in entries if (name := maker_of(entry)) in METHODS and METHODS[name].control
    ]


def caveats(runs: Sequence[Run], networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
    """Why the numbers cannot be compared with the paper's: other weights, part of the data, drawn scenes.

    Args:
        runs: what was run.
        networks: their records, joined.
    """
    weights = {model: facts for run in runs for model, facts in run.environment["models"].items()}
    for model, network in networks.items():
        yield from model_notes(model, weights[model])
        yield from _coverage_notes(model, runs, network)
    if any(run.environment["data"]["embedded"] for run in runs):
        yield "Data: drawn scenes, not photographs; numbers are not comparable with the paper's."


def _degenerate_notes(runs: Sequence[Run], networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
    """Explanations whose numbers follow from a definition and say nothing about the method."""
    flat = {model: network.values("degenerate") == 1 for model, network in networks.items()}
    blind = sum(_without_gradient(networks[model], chosen) for model, chosen in flat.items())
    without = f"; in {blind} of them, no block has a positive gradient" if blind else ""
    count = sum(int(chosen.sum()) for chosen in flat.values())
    yield f"Degenerate maps (all pixels equal): {count}{without}."
    scores = [network.values("score") for network in networks.values()]
    if worthless := sum(int((values <= 0).sum()) for values in scores):
        have, their = ("explanation has", "its") if worthless == 1 else ("explanations have", "their")
        yield f"{worthless} {have} a score of 0 or less; by definition, {their} Drop is 0 or 100."
    saturated = sum(int((values >= 1).sum()) for values in scores)
    if saturated and any(run.config["score"] != "logit" for run in runs):
        have, their = ("explanation has", "its") if saturated == 1 else ("explanations have", "their")
        yield f"{saturated} {have} a score of 1. Nothing can raise it, so {their} Increase is 0."


def _precision_notes(runs: Sequence[Run], networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
    """How many explanations by a faster precision had their masks scored in another one after all."""
    asked = dict.fromkeys(run.environment["precision"] for run in runs)
    asked.pop("fp32", None)
    checked = words(runs, networks, "mask_precision") if asked else {}
    if checked:
        others = {name: count for name, count in sorted(checked.items()) if name not in asked} or {"fp32": 0}
        yield (
            f"In {sum(others.values())} of {sum(checked.values())} explanations the masks were scored in "
            f"{' or '.join(others)}, because {' or '.join(asked)} disagreed on a sample of them."
        )


def _without_gradient(network: NetworkRecords, chosen: NDArray[np.bool_]) -> int:
    """How many of the chosen explanations have maps, none of which has a positive gradient."""
    if not chosen.any():
        return 0
    chosen = chosen & np.isfinite(network.values("maps_positive", 0))
    block = 0
    while (counts := network.values("maps_positive", block)[chosen]).size and np.isfinite(counts).any():
        chosen[chosen] = ~(counts > 0)
        block += 1
    return int(chosen.sum())


def _score_notes(runs: Sequence[Run], networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
    """How many pairs have a score near one of its ends, where Drop and Increase say little."""
    raw = {model for run in runs if run.config["score"] == "logit" for model in run.config["models"]}
    for model, network in networks.items():
        scores = network.shared("score")[network.named]
        scores = scores[~np.isnan(scores)]
        if model in raw or not len(scores):
            continue
        low, high = (_share(beyond) for beyond in (scores < LOW_SCORE, scores > HIGH_SCORE))
        yield (
            f"{title_of(model)}: of {len(scores)} pairs, the score of the class is under {LOW_SCORE:g} "
            f"in {low} and over {HIGH_SCORE:g} in {high}; Drop and Increase say little there "
            "(`table --by score` shows them apart)."
        )


def _share(chosen: NDArray[np.bool_]) -> str:
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


def _chance_notes(networks: Mapping[str, NetworkRecords], tables: Iterable[Table]) -> Iterator[str]:
    """What one gets without looking at the picture, for the pairs that any method explained."""
    shown = {cell.metric for cell in _cells(tables)}
    sentences = {
        model: ", ".join(
            f"{METRICS[metric].title.removesuffix(', %')} {number(level.mean, 'percent')} ({level.title})"
            for metric in METRICS
            if metric in shown and (level := best_blind(pairs, metric))
        )
        for model, pairs in ((model, _chance(network)) for model, network in networks.items())
    }
    for sentence in filter(None, dict.fromkeys(sentences.values())):
        models = [title_of(model) for model, other in sentences.items() if other == sentence]
        of = "" if len(models) == len(sentences) else f" of {' and '.join(models)}"
        yield f"Without looking at the picture: {sentence}, for these pairs{of}."


def _chance(network: NetworkRecords) -> pd.DataFrame:
    """The columns ``chance_*`` of the pairs that any method explained."""
    explained = ~np.isnan(network.shared("score"))
    return pd.DataFrame({name: network.shared(name)[explained] for name in CHANCE})


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


def _coverage_notes(model: str, runs: Sequence[Run], network: NetworkRecords) -> Iterator[str]:
    facts = [run.environment["data"] for run in runs if model in run.environment["models"]]
    whole = max(facts, key=lambda data: data["full_images"] or data["images"])
    if whole["full_images"]:
        all_images, all_pairs = whole["full_images"], whole["full_pairs"]
    else:
        all_images, all_pairs = whole["images"], whole["pairs"]
    images, pairs = network.images(np.ones(len(network.pairs), np.bool_)), int(network.named.sum())
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


def _run_time_notes(
    networks: Mapping[str, NetworkRecords], tables: Sequence[Table], data: Mapping[str, str]
) -> Iterator[str]:
    seconds = [cell for cell in _cells(tables) if cell.metric.startswith("seconds")]
    timed: dict[str, list[tuple[int, int]]] = {}
    for network in networks.values():
        has_time = ~np.isnan(network.values("seconds"))
        for method, device in enumerate(network.devices):
            if device is not None and has_time[:, method].any():
                rows = network.first_rows[has_time[:, method], method]
                timed.setdefault(device, []).append((int(rows.min()), len(rows)))
    devices = [
        f"{device} ({_extent([count for _, count in timed[device]])})"
        for device in sorted(timed, key=lambda device: min(timed[device]))
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


def _extent(pairs: Sequence[int]) -> str:
    low, high = min(pairs), max(pairs)
    if low == high:
        return counted_pairs(low)
    return f"{low} to {high} pairs, depending on the method"
