"""The notes under the tables: what a reader must know before comparing the numbers, most important first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.columns import NetworkRecords
from adasise_bench.records.joining import of_measuring
from adasise_bench.records.run import Run
from adasise_bench.reporting import statistics
from adasise_bench.reporting.published import published, sources
from adasise_bench.reporting.tables import setting_notes, value_notes
from adasise_bench.reporting.tables.accuracy import accuracy_notes
from adasise_bench.reporting.tables.breakdown import OUTCOMES, SIZES
from adasise_bench.reporting.tables.model import Cell, Table, counted_pairs
from adasise_bench.reporting.tables.origins import origin_notes


def notes(
    runs: Sequence[Run],
    networks: Mapping[str, NetworkRecords],
    tables: Sequence[Table],
    data: Mapping[str, str],
) -> Iterator[str]:
    """The notes of these tables.

    Args:
        runs: what was run.
        networks: the records that the tables show.
        tables: every one.
        data: the name of the data set of every network.
    """
    labels = list(dict.fromkeys(method for network in networks.values() for method in network.methods))
    # What the line of deviations says of a network's data and blocks, no note says again.
    told = {table.model for table in tables if table.deviations}
    yield from value_notes.error_notes(networks)
    yield from value_notes.unmarked_notes(tables)
    yield from value_notes.untimed_notes(tables, runs)
    yield from setting_notes.caveats(runs, networks, told)
    yield from dict.fromkeys(note for run in runs for note in setting_notes.rules_notes(run.config["rules"]))
    yield from value_notes.precision_notes(runs, networks)
    yield from _published_notes(tables, data)
    yield from _run_time_notes(runs, networks, tables)
    yield from origin_notes(runs, labels)
    yield from setting_notes.option_notes(runs, labels, networks, told)
    yield from setting_notes.area_notes(runs, labels)
    yield from setting_notes.control_notes(runs, labels)
    yield from value_notes.degenerate_notes(runs, networks)
    yield from value_notes.score_notes(runs, networks)
    yield from value_notes.chance_notes(networks, tables)
    yield from statistics_notes(tables)
    yield from setting_notes.run_notes(runs)
    yield from setting_notes.definition_notes(runs, networks, labels, tables)
    yield from accuracy_notes(tables)


def _cells(tables: Iterable[Table]) -> Iterator[Cell]:
    return (cell for table in tables for row in table.rows for cell in row.cells)


def _published_notes(tables: Sequence[Table], data: Mapping[str, str]) -> Iterator[str]:
    """Where the published numbers are from, and what they rest on; one note for each data set."""
    paper = published("ada_sise")
    for name in dict.fromkeys(data.values()):
        own = [table for table in tables if data[table.model] == name]
        maps = _published_cells(table for table in own if table.name == "table2")
        others = [table for table in own if table.name != "table2"]
        printed = list(sources(name, _figures(others, data, name))) or [paper["source"]] * bool(maps)
        if not printed:
            continue
        note = f"Published: {'; where it has no number: '.join(printed)}."
        if maps:
            note += f" Map counts: means over {paper['table2']['images']} images."
        if any(map(_is_run_time, _published_cells(others))):
            note += f" Run-times: {paper['figure4']['device']}, {paper['figure4']['images']} images."
        yield note


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
            f"Intervals: percentile bootstrap over images, each with all "
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
            "image."
        )


def _run_time_notes(
    runs: Sequence[Run], networks: Mapping[str, NetworkRecords], tables: Sequence[Table]
) -> Iterator[str]:
    """Which machines measured the run-times, where the runs had several; another note tells of only one."""
    if len({of_measuring(run) for run in runs}) == 1 or not any(map(_is_run_time, _cells(tables))):
        return
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
    if devices:
        yield f"Run-time was measured on {'; '.join(devices)}."


def _is_run_time(cell: Cell) -> bool:
    return cell.metric.startswith("seconds")


def _extent(pairs: Sequence[int]) -> str:
    low, high = min(pairs), max(pairs)
    if low == high:
        return counted_pairs(low)
    return f"{low} to {high} pairs, depending on the method"
