"""Writes the report piece by piece into one HTML file, so that memory does not grow with the pictures."""

from __future__ import annotations

import base64
import hashlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from tqdm import tqdm

from adasise_bench import __version__
from adasise_bench.records.columns import join
from adasise_bench.records.joining import combine
from adasise_bench.records.run import Run
from adasise_bench.reporting.overlay import COLOURING, DIMMING, OPACITY, colored
from adasise_bench.reporting.report.cells import html_grid
from adasise_bench.reporting.report.drawings import drawings_of
from adasise_bench.reporting.report.index import Pair, build_index, index_json
from adasise_bench.reporting.report.pictures import Source, picture_block
from adasise_bench.reporting.report.provenance import provenance_of
from adasise_bench.reporting.report.sample import pictures_to_hold
from adasise_bench.reporting.report.thumbnails import MAP_SIDE
from adasise_bench.reporting.tables import build_tables, caveats, control_labels, title_of, usual_metrics
from adasise_bench.reporting.tables.formats import footnotes
from adasise_bench.reporting.tables.grid import title
from adasise_bench.utils.files import write_atomically

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
    records = combine(runs)
    tables = build_tables(runs)
    shown = [table for table in tables.tables if table.name == "table1"]
    methods = list(dict.fromkeys(label for table in shown for label in table.columns))
    models = [table.model for table in shown]
    index = build_index(records, models, methods, usual_metrics(runs), control_labels(runs))
    sources = [Source.of(run) for run in runs]
    pictures = _pictures(sources, index.pairs)
    numbers = {name: number for number, name in enumerate(pictures)}
    held = pictures_to_hold(index, list(pictures.values()))
    picture_of = [numbers[name] for name in _picture_names(sources, index.pairs)]
    content = {
        "version": __version__,
        "models": [title_of(table.model) for table in shown],
        "methods": [title_of(method) for method in methods],
        "data": list(dict.fromkeys(source.data for source in sources)),
        "picture_count": len(pictures),
        "pair_count": len(index.pairs),
        "caveats": list(caveats(runs, join(runs))),
        "tables": tables.tables,
        "notes": footnotes(tables, "bold"),
        "figures": [
            (drawing.title, _base64(drawing.svg.encode()))
            for drawing in drawings_of(runs, [table.model for table in shown])
        ],
        "provenance": [provenance_of(run) for run in runs],
        "map_side": MAP_SIDE,
        "colouring": COLOURING,
        "held_count": len(pictures) if held is None else len(held),
        "index": index_json(index, list(pictures), picture_of) | {"overlay": _overlay(), "held": held},
        "blocks": _blocks(sources, pictures, methods, range(len(pictures)) if held is None else held),
    }
    write_atomically(path, lambda temporary: _stream(content, temporary))


def _picture_names(sources: Sequence[Source], pairs: Sequence[Pair]) -> Iterator[tuple[str, str]]:
    """The data set and id of every pair's picture; all runs of one model share their data set's name."""
    data = {model: source.data for source in sources for model in source.run.environment["models"]}
    return ((data[pair.model], pair.image_id) for pair in pairs)


def _pictures(sources: Sequence[Source], pairs: Sequence[Pair]) -> dict[tuple[str, str], dict[int, Pair]]:
    """The pairs of every picture by their numbers, the pictures by data set and id."""
    pictures: dict[tuple[str, str], dict[int, Pair]] = {}
    for number, (name, pair) in enumerate(zip(_picture_names(sources, pairs), pairs, strict=True)):
        pictures.setdefault(name, {})[number] = pair
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
    progress = tqdm(total=len(held), unit="picture", disable=None, file=sys.stderr)
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
    environment.globals |= {"title": title, "html_grid": html_grid}
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
