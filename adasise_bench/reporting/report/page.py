"""Writes the report piece by piece into one HTML file, so that memory does not grow with the pictures."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from adasise_bench import __version__
from adasise_bench.records.columns import join
from adasise_bench.records.run import Run
from adasise_bench.reporting.overlay import COLOURING, DIMMING, OPACITY, colored
from adasise_bench.reporting.report.cells import html_grid
from adasise_bench.reporting.report.drawings import drawings_of
from adasise_bench.reporting.report.index import Pair, Places, build_index, index_json
from adasise_bench.reporting.report.pictures import Source, picture_block
from adasise_bench.reporting.report.provenance import provenance_of
from adasise_bench.reporting.report.sample import choose
from adasise_bench.reporting.report.thumbnails import MAP_SIDE
from adasise_bench.reporting.tables import build_tables, caveats, control_labels, title_of, usual_metrics
from adasise_bench.reporting.tables.footnotes import all_footnotes, counted_notes, divided
from adasise_bench.reporting.tables.grid import deviation_line, title
from adasise_bench.utils.files import write_atomically
from adasise_bench.utils.progress_bar import Bar

_WORKERS = 4
_LOOKAHEAD = 16


def write_report(runs: Sequence[Run], path: Path) -> None:
    """Write one self-contained HTML file about runs.

    Args:
        runs: as for :func:`~adasise_bench.reporting.tables.build_tables`.
        path: the file, which appears when it is complete.

    Raises:
        ConfigError: the runs do not fit together.
        DataError: there is not one record.
        OutputError: the file cannot be written.
    """
    tables = build_tables(runs)
    shown = [table for table in tables.tables if table.name == "table1"]
    methods = list(dict.fromkeys(label for table in shown for label in table.columns))
    networks, controls, metrics = join(runs), control_labels(runs), usual_metrics(runs)
    data = {
        model: str(run.environment["data"]["name"]) for run in runs for model in run.environment["models"]
    }
    every = Places.of([networks[table.model] for table in shown], [data[table.model] for table in shown])
    choice = choose(every, methods, controls, len(metrics))
    places = every.of_pictures(choice.listed)
    index = build_index(places, methods, metrics, controls)
    pictures = _pictures(index.pairs, data)
    held: list[int] = choice.listed.searchsorted(choice.held).tolist()
    names = list(pictures)
    sources = [Source.of(run, {names[number][1] for number in held}) for run in runs]
    content = {
        "version": __version__,
        "models": [title_of(table.model) for table in shown],
        "methods": [title_of(method) for method in methods],
        "data": list(dict.fromkeys(source.data for source in sources)),
        "picture_count": every.picture_count,
        "pair_count": len(every),
        "listed_count": len(places),
        "caveats": list(caveats(runs, networks)),
        "tables": tables.tables,
        "notes": divided(all_footnotes(tables, "bold")),
        "figures": [
            (drawing.title, _base64(drawing.svg.encode()))
            for drawing in drawings_of(runs, [table.model for table in shown])
        ],
        "provenance": [provenance_of(run) for run in runs],
        "map_side": MAP_SIDE,
        "colouring": COLOURING,
        "held_count": len(held),
        "index": index_json(index, [image_id for _, image_id in names], places.pictures.tolist())
        | {"overlay": _overlay(), "held": held if len(held) < every.picture_count else None},
        "blocks": _blocks(sources, pictures, methods, held),
    }
    write_atomically(path, lambda temporary: _stream(content, temporary))


def _pictures(pairs: Sequence[Pair], data: Mapping[str, str]) -> dict[tuple[str, str], dict[int, Pair]]:
    """The pairs of every picture by their numbers, the pictures by data set and id in their order."""
    pictures: dict[tuple[str, str], dict[int, Pair]] = {}
    for number, pair in enumerate(pairs):
        pictures.setdefault((data[pair.model], pair.image_id), {})[number] = pair
    return pictures


def _blocks(
    sources: Sequence[Source],
    pictures: dict[tuple[str, str], dict[int, Pair]],
    methods: Sequence[str],
    held: Sequence[int],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The numbers and blocks of the pictures that the page holds; threads make a few of them ahead."""
    names = list(pictures)

    def block(number: int) -> tuple[int, dict[str, Any]]:
        data, image_id = names[number]
        own = [source for source in sources if source.data == data]
        return number, picture_block(own, image_id, pictures[data, image_id], methods)

    remaining = iter(held)
    ahead: list[Future[tuple[int, dict[str, Any]]]] = []
    progress = Bar(len(held), "picture")
    with progress, ThreadPoolExecutor(_WORKERS) as pool:
        while True:
            ahead += [pool.submit(block, number) for number in islice(remaining, _LOOKAHEAD - len(ahead))]
            if not ahead:
                return
            yield ahead.pop(0).result()
            progress.update()


def _overlay() -> dict[str, Any]:
    """How the page colours a map, the same as :func:`~adasise_bench.reporting.overlay.overlay` does."""
    colors = colored(np.linspace(0, 1, 256, dtype=np.float32)[None])
    return {"colors": _base64(colors.tobytes()), "opacity": OPACITY, "dimming": DIMMING}


def _stream(content: dict[str, Any], path: Path) -> None:
    environment = Environment(
        loader=PackageLoader("adasise_bench.reporting.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    environment.globals |= {
        "title": title,
        "deviation_line": deviation_line,
        "counted_notes": counted_notes,
        "html_grid": html_grid,
    }
    script = _asset("report.js")
    assets = {
        "style": Markup(_asset("report.css")),  # noqa: S704 - our own file
        "script": Markup(script),  # noqa: S704 - our own file
        "script_hash": _base64(hashlib.sha256(script.encode()).digest()),
    }
    template = environment.get_template("report.html")
    with path.open("w", encoding="utf-8", errors="replace") as file:  # names of folders may be no UTF-8
        file.writelines(template.generate(content | assets))


def _asset(name: str) -> str:
    return (files("adasise_bench.reporting.report") / "assets" / name).read_text(encoding="utf-8")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
