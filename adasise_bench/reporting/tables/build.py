"""Builds the tables of the papers (arXiv 2102.07799, 2010.00672) from runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adasise_bench.metrics.registry import DEFAULT, METRICS, Metric
from adasise_bench.records.columns import NetworkRecords, has, join
from adasise_bench.records.run import Run
from adasise_bench.reporting.published import published_on, published_table1, published_table2
from adasise_bench.reporting.tables.accuracy import accuracy_of, accuracy_table
from adasise_bench.reporting.tables.breakdown import Grouping, breakdown_tables
from adasise_bench.reporting.tables.deviations import deviations_of, with_deviations
from adasise_bench.reporting.tables.model import Table, Tables, title_of
from adasise_bench.reporting.tables.notes import notes
from adasise_bench.reporting.tables.origins import maker_of
from adasise_bench.reporting.tables.rows import Published
from adasise_bench.reporting.tables.scores import Scores, in_paper_order
from adasise_bench.reporting.tables.setting_notes import control_labels, usual_order
from adasise_bench.reporting.tables.table1 import difference_table, table1
from adasise_bench.reporting.tables.table2 import table2
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.messages import printable
from adasise_bench.utils.settings import suggest


def build_tables(
    runs: Sequence[Run],
    *,
    metrics: Sequence[str] = (),
    methods: Sequence[str] = (),
    by: Grouping | None = None,
    against: str | None = None,
) -> Tables:
    """Table 1 and Table 2 for every network in the runs, with the published numbers beside the measured ones.

    Args:
        runs: the runs; each value comes from the first run that has it.
        metrics: names of the metrics to show; by default, those of Table 1 and those that the runs asked for.
        methods: labels of the methods to show, in this order; by default all, in the configurations' order,
            but controls last.
        by: show one table per metric instead, with a row per class, object size, range of the score or
            outcome.
        against: add tables of the other methods' paired differences from the method of this label.

    Raises:
        ConfigError: the runs do not fit together, a metric or label is unknown, or the runs' scores have no
            ranges.
        DataError: there is not one record, or none of what ``by`` asks for.
    """
    shown = _named(metrics or usual_metrics(runs))
    networks = _with_methods(join(runs), runs, methods)
    if by == "score":
        _refuse_raw_outputs(runs)
    if by == "outcome" and not has(networks, "rank"):
        raise DataError(
            "--by outcome: no record of these runs tells the rank of its class, as an earlier version made "
            "them; run again"
        )
    if against is not None:
        _refuse_unknown(against, networks, methods)
    _refuse_other_blocks(runs)
    return _built(runs, networks, shown, by, against)


def tables_by_network(runs: Sequence[Run]) -> dict[str, Tables]:
    """What :func:`build_tables` shows unasked, apart for every network, in the papers' order.

    The notes on a network's tables are about this network and the runs that have it.

    Args:
        runs: as for :func:`build_tables`.

    Raises:
        ConfigError: the runs do not fit together.
        DataError: there is not one record.
    """
    shown = _named(usual_metrics(runs))
    networks = _with_methods(join(runs), runs, ())
    _refuse_other_blocks(runs)
    return {
        model: _built(
            [run for run in runs if model in run.environment["models"]], {model: networks[model]}, shown
        )
        for model in in_paper_order(networks, published_table1())
    }


def _built(
    runs: Sequence[Run],
    networks: Mapping[str, NetworkRecords],
    shown: Mapping[str, Metric],
    by: Grouping | None = None,
    against: str | None = None,
) -> Tables:
    """The tables of these networks and the notes on them; the other arguments as in :func:`build_tables`."""
    names = {entry["label"]: maker_of(entry) for run in runs for entry in run.config["methods"]}
    available = _maps_available(runs)
    accuracies = accuracy_of(runs)
    data = {model: run.environment["data"]["name"] for run in runs for model in run.environment["models"]}
    models = in_paper_order(networks, published_table1())
    networks = {model: networks[model] for model in models}
    controls = frozenset(control_labels(runs))
    scores = {model: Scores.of(networks[model], controls) for model in models}
    tables: list[Table] = []
    for model in models:
        if by is None:
            heading = _heading(model, runs)
            figures = _published(model, data[model], names)
            tables.append(table1(model, heading, networks[model], scores[model], shown, figures))
            if model in accuracies:
                tables.append(accuracy_table(model, data[model], accuracies[model]))
        else:
            tables += breakdown_tables(model, scores[model], shown, by)
    for model in models:
        if against is None or against not in scores[model].methods:
            continue
        differences = scores[model].minus(against)
        if by is None:
            figures = _published(model, data[model], names)
            tables.append(difference_table(model, differences, shown, figures))
        else:
            tables += breakdown_tables(model, differences, shown, by)
    tables += [
        table2(model, data[model], networks[model], names, available[model])
        for model in models
        if by is None and np.isfinite(networks[model].values("maps_kept", 0)).any()
    ]
    deviations = {model: deviations_of(model, runs, networks[model]) for model in models}
    tables = with_deviations(tables, deviations, runs)
    return Tables(tuple(tables), tuple(map(printable, notes(runs, networks, tables, data))))


def _with_methods(
    networks: Mapping[str, NetworkRecords], runs: Sequence[Run], methods: Sequence[str]
) -> dict[str, NetworkRecords]:
    """The records of these methods, in this order; if none is named, of all in the configurations' order.

    Raises:
        ConfigError: a method is unknown.
    """
    present = {method for network in networks.values() for method in network.methods}
    for label in methods:
        if label not in present:
            raise ConfigError(
                f"--methods: no method {label!r} in these runs{suggest(label, sorted(present), methods)}"
            )
    order = list(dict.fromkeys(methods)) or usual_order(runs, present)
    chosen = {model: network.only(order) for model, network in networks.items()}
    return {model: network for model, network in chosen.items() if network.methods}


def _named(names: Sequence[str]) -> dict[str, Metric]:
    """The metrics of these names, in this order.

    Raises:
        ConfigError: a name is unknown.
    """
    for name in names:
        if name not in METRICS:
            raise ConfigError(f"no metric {name!r}{suggest(name, METRICS)}")
    return {name: METRICS[name] for name in names}


def usual_metrics(runs: Sequence[Run]) -> list[str]:
    """The names of Table 1's metrics, and of the other metrics that the runs' configurations name."""
    asked = [name for run in runs for name in run.config["extra_metrics"] if name in METRICS]
    return [*DEFAULT, *dict.fromkeys(asked)]


def _maps_available(runs: Sequence[Run]) -> dict[str, list[int]]:
    """By network, how many feature maps each block has."""
    return {
        model: facts["maps_available"] for run in runs for model, facts in run.environment["models"].items()
    }


def _refuse_other_blocks(runs: Sequence[Run]) -> None:
    available = _maps_available(runs)
    paper = {model: published_table2(model).get("available", maps) for model, maps in available.items()}
    for run in runs:
        for model, blocks in _numbers_of_blocks(run):
            if not blocks == len(available[model]) == len(paper[model]):
                raise DataError(f"{run.folder}: damaged: {model} with {blocks} blocks; run again")


def _numbers_of_blocks(run: Run) -> set[tuple[str, int]]:
    """The networks of a run, each with every number of blocks that a record counted the maps of."""
    columns = ("maps_kept", "maps_positive", "maps_live")
    found = set()
    for table in run.read(["model", *columns]):
        for column in columns:
            lengths = pa.table({"model": table["model"], "blocks": pc.list_value_length(table[column])})
            groups = lengths.group_by(["model", "blocks"]).aggregate([]).to_pylist()
            found |= {(group["model"], group["blocks"]) for group in groups if group["blocks"] is not None}
    return found


def _heading(model: str, runs: Sequence[Run]) -> str:
    """The heading of Table 1; it is not called so for COCO, because the paper's is not about COCO."""
    run = next(run for run in runs if model in run.environment["models"])
    if run.config["data"].get("layout") == "coco":
        return f"{run.environment['data']['name']}, {title_of(model)}"
    return f"Table 1, {title_of(model)}"


def _published(model: str, data: str, names: Mapping[str, str]) -> Published:
    """The papers' figures for the data set, of those methods whose labels are their names."""
    figures = published_on(data).get(model, {})
    return {label: scores for label, scores in figures.items() if names.get(label) == label}


def _refuse_raw_outputs(runs: Sequence[Run]) -> None:
    for run in runs:
        if run.config["score"] == "logit":
            raise ConfigError(
                f"--by score: {run.folder} has raw outputs as scores (score: logit), which do not lie "
                "between 0 and 1; choose class, size or outcome"
            )


def _refuse_unknown(against: str, networks: Mapping[str, NetworkRecords], chosen: Sequence[str]) -> None:
    if chosen and against not in chosen:
        raise ConfigError(f"--against: --methods leaves {against!r} out; name it there, too")
    labels = sorted({method for network in networks.values() for method in network.methods})
    if against not in labels:
        raise ConfigError(f"--against: no method {against!r} in these runs{suggest(against, labels)}")
    having = [network.methods for network in networks.values() if against in network.methods]
    if all(methods == [against] for methods in having):
        raise ConfigError(f"--against: nothing to compare {against!r} with in these runs; add another method")
