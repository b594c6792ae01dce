"""The records from which a figure is made, and the sentence under it that says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from adasise_bench.records.joining import combine
from adasise_bench.records.run import Run
from adasise_bench.reporting.published import paper_order
from adasise_bench.reporting.tables import control_labels, in_paper_order, title_of
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.settings import suggest

Entry = dict[str, Any]
"""One method of ``config.yaml``: ``name``, ``label`` and options."""


def the_model(runs: Sequence[Run]) -> str:
    """The model of the runs, if all have the same one.

    Raises:
        ConfigError: there are several.
        DataError: there is not one record.
    """
    models = combine(runs)["model"].unique().tolist()
    if len(models) > 1:
        raise ConfigError(f"{folders(runs)}: records of {', '.join(models)}; name one with --model")
    return str(models[0])


def records_of(runs: Sequence[Run], model: str, methods: Iterable[str] = ()) -> dict[str, pd.DataFrame]:
    """The joined records of one model by method, in the paper's order or that of ``methods``.

    Args:
        runs: in order of precedence, as :func:`adasise_bench.records.joining.combine` takes them.
        model: architecture.
        methods: labels to keep; none keeps all.

    Raises:
        ConfigError: the runs do not fit together, or lack one of ``methods``.
        DataError: no records, or none of the model.
    """
    records = combine(runs)
    of_model = records[records["model"] == model]
    if of_model.empty:
        raise DataError(
            f"{folders(runs)}: no records of model {model!r}{suggest(model, records['model'].unique())}"
        )
    present = of_model["method"].unique().tolist()
    usual = sorted(in_paper_order(present, paper_order()), key=control_labels(runs).__contains__)
    order = list(methods) or usual
    for label in order:
        if label not in present:
            raise ConfigError(f"{folders(runs)}: no records of method {label!r}{suggest(label, present)}")
    return {label: of_model[of_model["method"] == label] for label in order}


def entries_of(runs: Sequence[Run], model: str) -> dict[str, Entry]:
    """The methods of the runs of one model, by label."""
    return {
        entry["label"]: entry
        for run in runs
        if model in run.environment["models"]
        for entry in run.config["methods"]
    }


def data_of(runs: Sequence[Run], model: str) -> str:
    """Name of the data set that the runs explained with a model; it is the same for all of them."""
    return next(str(run.environment["data"]["name"]) for run in runs if model in run.environment["models"])


def folders(runs: Sequence[Run]) -> str:
    """The folders of the runs, as a message names them."""
    return ", ".join(str(run.folder) for run in runs)


def basis(runs: Sequence[Run], model: str, used: Iterable[pd.DataFrame]) -> str:
    """From which data and how many explanations a figure is made, and with what it cannot be compared.

    Args:
        runs: the runs.
        model: architecture.
        used: per method, the records that went into the figure.
    """
    used = list(used)
    facts = [run.environment["data"] for run in runs if model in run.environment["models"]]
    weights = [run.environment["models"][model] for run in runs if model in run.environment["models"]]
    images = pd.concat([group["image_id"] for group in used]).nunique()
    whole = max(data["full_images"] or data["images"] for data in facts)
    of_whole = f" of {whole}" if images < whole else ""
    counts = sorted({len(group) for group in used})
    number = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    text = (
        f"{title_of(model)}, {facts[0]['name']}: {images}{of_whole} images, {number} explanations per method."
    )
    return f"{text} {caveat(weights[0]['published'], facts[0]['embedded'])}".rstrip()


def caveat(published_weights: bool, embedded: bool) -> str:
    """The reason why the numbers cannot be compared with the paper's; empty if they can."""
    if embedded:
        return "Not photographs: not comparable with the paper."
    if not published_weights:
        return "Stand-in weights, not the published model: not comparable with the paper."
    return ""
