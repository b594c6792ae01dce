"""Notes on single values: what failed, what is missing, what a definition decides, and what chance gets."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.columns import NetworkRecords, words
from adasise_bench.records.record import CHANCE
from adasise_bench.records.run import Run
from adasise_bench.reporting.tables.blind import best_blind
from adasise_bench.reporting.tables.breakdown import HIGH_SCORE, LOW_SCORE
from adasise_bench.reporting.tables.model import Cell, Row, Table, number, title_of
from adasise_bench.reporting.tables.origins import is_stored
from adasise_bench.reporting.tables.scores import MACHINE_COLUMNS
from adasise_bench.utils.messages import printable

SHOWN_ERRORS = 3
ERROR_LENGTH = 150


def error_notes(networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
    """How many explanations failed, of which methods, and some reasons; nothing if none failed."""
    counts: Counter[str] = Counter()
    reasons: dict[str, None] = {}
    for network in networks.values():
        codes, texts = network.errors()
        counts.update(dict(zip(network.methods, map(int, (codes >= 0).sum(axis=0)), strict=True)))
        reasons |= dict.fromkeys(texts[code] for code in np.unique(codes[codes >= 0]))
    failing = {label: count for label, count in counts.items() if count}
    if failing:
        listed = ", ".join(f"{title_of(label)} {count}" for label, count in failing.items())
        shown = "; ".join(map(_one_line, list(reasons)[:SHOWN_ERRORS]))
        yield f"Errors: {sum(failing.values())} ({listed}), among them: {shown}"


def _one_line(text: str) -> str:
    return textwrap.shorten(printable(text), ERROR_LENGTH, placeholder=" ...")


def unmarked_notes(tables: Iterable[Table]) -> Iterator[str]:
    """Where no best value is marked, and why."""
    where: dict[tuple[str, str], list[str]] = {}
    for table in tables:
        rows = [row for row in table.rows if row.direction is not None and _has_values(row)]
        reasons = dict.fromkeys(row.unmarked for row in rows if row.unmarked)
        for reason in reasons:
            own = [row.title for row in rows if row.unmarked == reason]
            rows_named = "" if len(own) == len(rows) else f" in {'; '.join(own)}"
            subject = title_of(table.model) if table.name == "table1" else table.title
            where.setdefault((rows_named, reason), []).append(subject)
    for (rows_named, reason), subjects in where.items():
        yield f"{', '.join(subjects)}: no best value is marked{rows_named}, because {reason}."


def _has_values(row: Row) -> bool:
    return any(cell.measured is not None for cell in row.cells)


def untimed_notes(tables: Iterable[Table], runs: Sequence[Run]) -> Iterator[str]:
    """Which methods have no run-times because their forward passes were shared."""
    sharing = {
        entry["label"]
        for run in runs
        if run.config.get("share_forwards")
        for entry in run.config["methods"]
        if not is_stored(entry)  # of maps that were read, another note says that
    }
    untimed = dict.fromkeys(
        str(cell.method)
        for cell in _cells(tables)
        if cell.measured is None and cell.method in sharing and _is_of_a_machine(cell)
    )
    if untimed:
        listed = ", ".join(map(title_of, untimed))
        yield f"Run-time: none of {listed}, because share_forwards explains several pairs together."


def _is_of_a_machine(cell: Cell) -> bool:
    return cell.metric in METRICS and METRICS[cell.metric].column in MACHINE_COLUMNS


def _cells(tables: Iterable[Table]) -> Iterator[Cell]:
    return (cell for table in tables for row in table.rows for cell in row.cells)


def degenerate_notes(runs: Sequence[Run], networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
    """Explanations whose numbers follow from a definition and say nothing about the method."""
    flat = {model: network.values("degenerate") == 1 for model, network in networks.items()}
    blind = sum(_without_gradient(networks[model], chosen) for model, chosen in flat.items())
    without = f"; in {blind} of them, no block has a positive gradient" if blind else ""
    count = sum(int(chosen.sum()) for chosen in flat.values())
    if count:
        yield f"Degenerate maps (all pixels equal): {count}{without}."
    scores = [network.values("score") for network in networks.values()]
    if worthless := sum(int((values <= 0).sum()) for values in scores):
        have, their = ("explanation has", "its") if worthless == 1 else ("explanations have", "their")
        yield f"{worthless} {have} a score of 0 or less; by definition, {their} Drop is 0 or 100."
    saturated = sum(int((values >= 1).sum()) for values in scores)
    if saturated and any(run.config["score"] != "logit" for run in runs):
        have, their = ("explanation has", "its") if saturated == 1 else ("explanations have", "their")
        yield f"{saturated} {have} a score of 1. Nothing can raise it, so {their} Increase is 0."


def precision_notes(runs: Sequence[Run], networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
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


def score_notes(runs: Sequence[Run], networks: Mapping[str, NetworkRecords]) -> Iterator[str]:
    """How many pairs have a score near one of its ends, where Drop and Increase say little."""
    raw = {model for run in runs if run.config["score"] == "logit" for model in run.config["models"]}
    for model, network in networks.items():
        scores = network.shared("score")[network.named]
        scores = scores[~np.isnan(scores)]
        if model in raw or not len(scores):
            continue
        ends = scores < LOW_SCORE, scores > HIGH_SCORE
        if not any(map(np.any, ends)):
            continue
        low, high = map(_share, ends)
        yield (
            f"{title_of(model)}: of {len(scores)} pairs, the score of the class is under {LOW_SCORE:g} "
            f"in {low} and over {HIGH_SCORE:g} in {high}; Drop and Increase say little there."
        )


def _share(chosen: NDArray[np.bool_]) -> str:
    return f"{int(chosen.sum())} ({100 * chosen.mean():.1f} %)"


def chance_notes(networks: Mapping[str, NetworkRecords], tables: Iterable[Table]) -> Iterator[str]:
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
