"""In which settings measured numbers differ from the published ones that stand beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from adasise_bench.data.config import DataConfig
from adasise_bench.data.rules import Rules
from adasise_bench.records.columns import NetworkRecords
from adasise_bench.records.run import Run
from adasise_bench.reporting.tables.model import Cell, Table, counted_pairs, title_of

_SCORE = "softmax"
"""The score that the protocol infers from the papers' figures."""


def with_deviations(
    tables: Iterable[Table], deviations: Mapping[str, Sequence[str]], runs: Sequence[Run]
) -> list[Table]:
    """The tables; where published numbers stand in one, it names in which settings the measured ones differ.

    Args:
        tables: of these runs.
        deviations: by network, as :func:`deviations_of` gives them.
        runs: where the options of the methods are told.
    """
    changed = {label for run in runs for label, options in run.environment["methods"].items() if options}
    named = []
    for table in tables:
        beside = [cell for row in table.rows for cell in row.cells if cell.published is not None]
        own = deviations[table.model] if beside else ()
        named.append(replace(table, deviations=(*own, *_of_options(beside, changed))))
    return named


def _of_options(cells: Iterable[Cell], changed: set[str]) -> Iterator[str]:
    labels = dict.fromkeys(cell.method for cell in cells if cell.method in changed)
    if labels:
        yield f"options of {', '.join(title_of(str(label)) for label in labels)}"


def deviations_of(model: str, runs: Sequence[Run], network: NetworkRecords) -> tuple[str, ...]:
    """What of a network's runs is not the protocol's, but for the options of methods."""
    run = next(run for run in runs if model in run.environment["models"])
    entry = run.config["models"][model]
    side = entry.get("blocks", "pool-input")
    return (
        *settings_deviations(run.config["data"], run.config["score"], run.config["rules"]),
        *(
            [f"feature maps at the {side} side of the blocks"]
            if side != "pool-input" and "source" not in entry
            else []
        ),
        *weights_deviations(run.environment["models"][model]),
        *([covered] if (covered := coverage(model, runs, network)) else []),
    )


def settings_deviations(data: Mapping[str, Any], score: str, rules: Mapping[str, str]) -> Iterator[str]:
    """The settings of the input, the score and the rules that are not the protocol's.

    Args:
        data: the section ``data`` of a configuration.
        score: what the network's score is.
        rules: the section ``rules``.
    """
    fields = DataConfig.model_fields
    if data["input_size"] != (usual := fields["input_size"].default):
        yield f"input {data['input_size']} px, not {usual} px"
    if data["resize"] != (usual := fields["resize"].default):
        yield f"resize {data['resize']}, not {usual}"
    if score != _SCORE:
        yield f"score {score}, not {_SCORE}"
    given = Rules.model_validate(rules)
    if given.changed():
        yield f"rules {given.title}"


def weights_deviations(facts: Mapping[str, Any]) -> Iterator[str]:
    """That weights are not the published ones; ``facts`` is what an environment says of a network."""
    if not facts["published"]:
        yield "stand-in weights"


def coverage(model: str, runs: Sequence[Run], network: NetworkRecords) -> str:
    """How many of the data's pictures and pairs there are; empty if that is all of them."""
    facts = [run.environment["data"] for run in runs if model in run.environment["models"]]
    whole = max(facts, key=lambda data: data["full_images"] or data["images"])
    if whole["full_images"]:
        all_images, all_pairs = whole["full_images"], whole["full_pairs"]
    else:
        all_images, all_pairs = whole["images"], whole["pairs"]
    images, pairs = network.images(np.ones(len(network.pairs), np.bool_)), int(network.named.sum())
    if images >= all_images and not (all_pairs and pairs < all_pairs):
        return ""
    counted = f"{pairs} of {counted_pairs(all_pairs)}" if all_pairs else counted_pairs(pairs)
    return f"{images} of {all_images} images ({counted})"
