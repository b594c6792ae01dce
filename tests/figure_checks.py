"""Run folders with known numbers, and what a figure really draws."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from adasise_bench.records.record import SCHEMA, Record
from adasise_bench.records.run import Run, load_run
from adasise_bench.reporting.figures.style import styled

SISE = {"name": "sise", "label": "sise", "selector": "fixed", "mu": 0.0, "fusion": "hard"}
ADA_SISE = SISE | {"name": "ada_sise", "label": "ada_sise", "selector": "printed"}
EP = {"name": "extremal_perturbation", "label": "extremal_perturbation"}


def make_run(
    folder: Path,
    records: Sequence[Record],
    methods: Sequence[dict[str, Any]] = (SISE, ADA_SISE),
    *,
    published: bool = True,
    embedded: bool = False,
    full_images: int = 4952,
) -> Run:
    """Write and read a finished run of ResNet-50, and of whatever else the records are of."""
    models = sorted({record.model for record in records} | {"resnet50"})
    weights = {
        "weights_sha256": "9ca920d6" * 8,
        "weights_file": "some.pth.tar",
        "published": published,
        "maps_available": [64, 256, 512, 1024, 2048],
    }
    environment = {
        "tool": {"version": "0.1.0", "commit": None},
        "torch": "2.8.0",
        "device": "cpu",
        "device_name": "Some CPU",
        "precision": "fp32",
        "methods": {},
        "models": dict.fromkeys(models, weights),
        "data": {
            "name": "VOC 2007 test",
            "images": 2,
            "pairs": 2,
            "embedded": embedded,
            "full_images": full_images,
            "full_pairs": None,
        },
    }
    config = {
        "methods": list(methods),
        "models": {model: {"blocks": "pool-input"} for model in models},
        "data": {"root": "data", "input_size": 224, "resize": "stretch"},
        "score": "softmax",
    }
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "environment.json").write_text(json.dumps(environment))
    rows = [asdict(record) for record in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "records.parquet")
    return load_run(folder)


def record(method: str, image: str, model: str = "resnet50", **values: Any) -> Record:
    return Record(model, method, image, "dog", score=0.9, **values)


class Drawn(NamedTuple):
    """One text as it lies on the canvas, in pixels."""

    text: str
    points: float
    extent: Bbox


@styled
def drawn_texts(figure: Figure) -> list[Drawn]:
    """Every text that drawing the figure, at 100 dots per inch, really puts on the canvas."""
    drawn: dict[Text, Drawn] = {}  # layout draws everything a first time
    original = Text.draw

    def note(self: Text, renderer: Any) -> None:
        if self.get_visible() and self.get_text():
            drawn[self] = Drawn(self.get_text(), self.get_fontsize(), self.get_window_extent(renderer))
        original(self, renderer)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", note)
        figure.savefig(io.BytesIO(), format="png", dpi=100)
    return list(drawn.values())


def assert_legible(figure: Figure) -> None:
    """No text is clipped, smaller than 7 points, or over another one."""
    width, height = 100 * figure.get_figwidth(), 100 * figure.get_figheight()
    drawn = drawn_texts(figure)
    assert drawn
    for number, (text, points, extent) in enumerate(drawn):
        assert points >= 7, f"{text!r} is small"
        inside = extent.x0 >= 0 and extent.y0 >= 0 and extent.x1 <= width and extent.y1 <= height
        assert inside, f"{text!r} is clipped"
        for other in drawn[number + 1 :]:
            shared = Bbox.intersection(extent, other.extent)
            overlap = shared is not None and min(shared.width, shared.height) > 1.5
            assert not overlap, f"{text!r} lies over {other.text!r}"


def texts(figure: Figure) -> str:
    """Everything that is written in the figure, on one line."""
    return " ".join(" ".join(text.text for text in drawn_texts(figure)).split())
