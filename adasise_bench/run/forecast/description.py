"""What a run is expected to do and to take, in words: ``adasise-bench run --dry-run``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from adasise_bench.run.config import RunConfig
from adasise_bench.run.forecast.networks import Trial, refuse_absent_networks, timed_precision, try_network
from adasise_bench.run.forecast.passes import Passes, expected_passes
from adasise_bench.run.forecast.pictures import Pictures, pictures_of
from adasise_bench.run.forecast.storage import downloads, free_bytes, map_bytes, record_bytes
from adasise_bench.utils.devices import machine, pick_device
from adasise_bench.utils.quantities import about, counted, duration, file_size, short_duration
from adasise_bench.utils.text_tables import text_table

FORWARDS_PER_BACKWARD = 2
"""A gradient of the input has about twice as many operations as the forward pass."""


def forecast(
    config: RunConfig, folder: Path, devices: Sequence[str], *, verify: bool = False
) -> Iterator[str]:
    """Lines that say what a run would do and take. Nothing is downloaded, explained or written.

    Args:
        config: the run.
        folder: its run folder.
        devices: of its workers, as :func:`.pick_devices` gives them.
        verify: as in :func:`.make_plan`.

    Raises:
        BenchError: the run would be refused as well. If only the pictures are missing and yet known, this is
            said after the last line.
    """
    refuse_absent_networks(config)
    pictures = pictures_of(config, verify=verify)
    yield from _pictures(pictures)
    device = pick_device(devices[0])
    trials = {name: try_network(config, name, device, pictures.classes) for name in config.models}
    maps = {name: trial.maps if trial else None for name, trial in trials.items()}
    passes = list(expected_passes(config, pictures, maps))
    yield from _passes(config, passes)
    yield from _time(config, passes, trials, devices)
    yield from _storage(config, pictures, trials, folder)
    if pictures.refusal is not None:
        raise pictures.refusal


def _pictures(pictures: Pictures) -> Iterator[str]:
    pairs = counted(pictures.pairs, "image-class pair")
    yield (
        f"{pictures.data}: {counted(len(pictures.counts), 'picture')}, "
        f"{'about ' if pictures.typical else ''}{pairs}"
    )
    if pictures.downloaded:
        yield "the pictures are not here; how many classes each shows is known without them"
    yield from pictures.notes


def _passes(config: RunConfig, passes: Sequence[Passes]) -> Iterator[str]:
    rows = [
        (
            one.model,
            " + ".join(one.labels),
            f"{one.explanations:,}",
            _number(one.forwards),
            _number(one.backwards),
        )
        for one in passes
    ]
    header = ("model", "methods", "explanations", "about forwards", "about gradients")
    yield text_table("llrrr", rows, header)
    forwards = sum(one.forwards or 0 for one in passes)
    backwards = sum(one.backwards or 0 for one in passes)
    yield (
        f"about {about(forwards, 'forward pass')} and {about(backwards, 'gradient')} in all, estimated from "
        "the feature-map counts of Ada-SISE, Table 2"
    )
    if config.share_forwards:
        yield "methods in one row share their forward passes, and so do the classes of a picture"
    if unknown := [f"{' + '.join(one.labels)} on {one.model}" for one in passes if one.forwards is None]:
        yield f"not counted here and in the time, because only the run can tell: {', '.join(unknown)}"


def _number(count: int | None) -> str:
    return "unknown" if count is None else f"{count:,}"


def _time(
    config: RunConfig,
    passes: Sequence[Passes],
    trials: Mapping[str, Trial | None],
    devices: Sequence[str],
) -> Iterator[str]:
    timed = {name: trial for name, trial in trials.items() if trial is not None}
    if not timed:
        yield "time: unknown, because no network can be timed"
        return
    device = pick_device(devices[0])
    gpus = len(set(devices)) if device.type != "cpu" else 1
    seconds = sum(_inputs(one) * timed[one.model].seconds for one in passes if one.model in timed) / gpus
    paces = ", ".join(f"{short_duration(trial.seconds)} per input of {name}" for name, trial in timed.items())
    where = f"{f'{gpus} GPUs like ' if gpus > 1 else ''}{device} ({machine(device)[0]})"
    yield f"time: about {duration(seconds)} on {where}. A faster backend needs less, a busy machine more"
    yield (
        f"  torch in {timed_precision(config)} has just taken {paces}, with weights that explain nothing; a "
        f"gradient counts as {FORWARDS_PER_BACKWARD} forward passes"
    )


def _inputs(one: Passes) -> int:
    """Forward passes, those that last as long as the gradients, and one of each map's highest pixels."""
    if one.forwards is None or one.backwards is None:
        return 0
    return one.forwards + one.explanations + FORWARDS_PER_BACKWARD * one.backwards


def _storage(
    config: RunConfig, pictures: Pictures, trials: Mapping[str, Trial | None], folder: Path
) -> Iterator[str]:
    fetched = list(downloads(config, pictures, trials))
    for one in fetched:
        size = "of unknown size" if one.size is None else f"about {file_size(one.size)}"
        yield f"download: {one.what}, {size}, into {one.place}"
    if not fetched:
        yield "download: nothing"
    explanations = pictures.pairs * len(config.models) * len(config.methods)
    records, maps = record_bytes(explanations), map_bytes(config, explanations)
    parts = [f"about {file_size(records)} of records"] + [f"{file_size(maps)} of maps"] * config.save_maps
    free = free_bytes(folder)
    too_little = ", which is too little" if free < records + maps else ""
    yield f"disk: {' and '.join(parts)} in {folder}; free there: {file_size(free)}{too_little}"
