"""Fig. 3 of Ada-SISE: pictures with their boxes, and with the maps of the methods over them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.data.boxes import Box
from adasise_bench.records.maps import kept_map
from adasise_bench.records.pictures import Gallery
from adasise_bench.records.record import Key
from adasise_bench.records.run import Run
from adasise_bench.reporting.captions import score_line, score_note
from adasise_bench.reporting.figures.basis import MethodRecords, caveat, folders, records_of
from adasise_bench.reporting.figures.style import COLUMN, TWO_COLUMNS, blank, in_lines, named, note, styled
from adasise_bench.reporting.overlay import COLOURING, overlay
from adasise_bench.reporting.tables import title_of
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.settings import suggest

Pair = tuple[str, str]
"""Image id and class name."""

_METHODS_IN_A_COLUMN = 3
_METHODS_ON_A_PAGE = 7
_TEXT = 0.17
"""Inches of the first line of text below or beside a picture."""
_LINE = 0.12
"""Inches of every other line of text."""
_LETTERS_PER_INCH = 17
_BOX = "#56B4E9"
_FLATTEST, _HIGHEST = 0.05, 4.0
"""The least and the largest height of a row, in widths of a panel; other pictures get space beside them."""
_MAX_INCHES = 200
"""Height at which a figure at 300 dpi still fits in the 65536 pixels that matplotlib draws."""


@dataclass(frozen=True)
class Row:
    """One explained class of one picture.

    Attributes:
        image_id, class_name: what was explained.
        score: Ψ of the class for the whole picture.
        picture: RGB.
        boxes: the objects of the class.
        maps: (H, W) float32 maps by method.
    """

    image_id: str
    class_name: str
    score: float
    picture: Image.Image
    boxes: Sequence[Box]
    maps: Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class SavedMaps:
    """The saved maps of one model in several runs.

    Attributes:
        model: architecture.
        records: explanations without error by method, in the order of the columns.
        galleries: of the runs, in order of precedence.
        note: which network and data they belong to, and what Ψ is.
    """

    model: str
    records: Mapping[str, MethodRecords]
    galleries: Sequence[Gallery]
    note: str

    @classmethod
    def of(cls, runs: Sequence[Run], model: str, methods: Iterable[str] = ()) -> SavedMaps:
        """Open what the runs saved.

        Args:
            runs: in order of precedence.
            model: architecture.
            methods: labels to show; all with saved maps by default.

        Raises:
            ConfigError: the runs do not fit together, or lack one of ``methods``.
            DataError: there are no maps, or the pictures are gone.
        """
        groups = {label: group.having("score") for label, group in records_of(runs, model, methods).items()}
        galleries = [Gallery.of(run) for run in runs]
        if not methods:
            groups = {
                label: group
                for label, group in groups.items()
                if any((gallery.folder / "maps" / model / label).is_dir() for gallery in galleries)
            }
        if not groups:
            raise DataError(
                f"{folders(runs)}: no saliency maps of {model}; give the run again with --save-maps"
            )
        run = next(run for run in runs if model in run.environment["models"])
        weights, data = run.environment["models"][model], run.environment["data"]
        text = f"{title_of(model)}, {data['name']}. {caveat(weights['published'], data['embedded'])}"
        return cls(model, groups, galleries, f"{text.rstrip()} {score_note(run.config['score'])}")

    def pairs(self, image_id: str, class_name: str | None) -> list[Pair]:
        """The explained classes of one picture, or one of them.

        Raises:
            DataError: no such explanation.
        """
        first = next(iter(self.records.values()))
        classes = [name for _, name in first.of(image_id).pairs()]
        if not classes:
            explained = "".join(f"; one that is there is {other}" for other, _ in first.pairs()[:1])
            raise DataError(
                f"--image {image_id}: {self._where()} explained no such picture{explained}; "
                "`report` lists all"
            )
        if class_name is not None and class_name not in classes:
            raise DataError(f"--image {image_id}:{class_name}: not explained{suggest(class_name, classes)}")
        return [(image_id, name) for name in classes if class_name in (None, name)]

    def sample(self, count: int, seed: int) -> list[Pair]:
        """Random pairs of which every method has a map, in the order of the records.

        Raises:
            ConfigError: there are not so many.
        """
        groups = list(self.records.values())
        shared = np.logical_and.reduce([group.chosen for group in groups])
        pairs = replace(groups[0], chosen=shared).pairs()
        complete = [pair for pair in pairs if all(self._holders(label, pair) for label in self.records)]
        if count > len(complete):
            raise ConfigError(
                f"--random {count}: {self._where()} has all methods' maps of {len(complete)} explanations; "
                "ask for fewer rows, or for fewer methods with --methods"
            )
        drawn = set(random.Random(seed).sample(complete, count))  # noqa: S311 - not for security
        return [pair for pair in complete if pair in drawn]

    def row(self, pair: Pair) -> Row:
        """What is drawn of one explanation.

        Raises:
            DataError: a record, map or picture is missing or damaged, or the picture has changed.
        """
        image_id, class_name = pair
        maps, scores = {}, []
        for label, group in self.records.items():
            score = group.of(image_id, class_name).values("score")
            if not len(score):
                raise DataError(
                    f"--image {image_id}:{class_name}: not explained by {label}; "
                    "leave this method out with --methods"
                )
            scores.append(float(score[0]))
            gallery = (self._holders(label, pair) or self.galleries)[0]
            maps[label] = gallery.saliency(Key(self.model, label, *pair))
            picture, annotation = gallery.picture(image_id), gallery.annotation(image_id)
        boxes = [box for box in annotation.boxes if box.class_name == class_name]
        return Row(image_id, class_name, scores[0], picture, boxes, maps)

    def _holders(self, label: str, pair: Pair) -> list[Gallery]:
        key = Key(self.model, label, *pair)
        return [gallery for gallery in self.galleries if kept_map(gallery.folder, key).exists()]

    def _where(self) -> str:
        return ", ".join(str(gallery.folder) for gallery in self.galleries)


@styled
def draw(rows: Sequence[Row], text: str) -> Figure:
    """One row per explanation: the picture with the class's boxes and its score, then every method's overlay.

    The figure is one paper column wide for up to three methods, and two for more. More methods than seven go
    on in further lines, which then all have the methods' names above them.

    Args:
        rows: at least one, all with the same methods.
        text: what stands at the foot of the figure.

    Raises:
        ConfigError: there are so many rows that the figure cannot be drawn.
    """
    methods = list(rows[0].maps)
    width = COLUMN if len(methods) <= _METHODS_IN_A_COLUMN else TWO_COLUMNS
    lines_of_row = -(-len(methods) // _METHODS_ON_A_PAGE)
    columns = -(-len(methods) // lines_of_row)
    side = (width - _TEXT) / (columns + 1)
    letters = int(_LETTERS_PER_INCH * side)
    headers = {label: named(label, letters) for label in methods}
    lines = [
        Line(row, methods[start : start + columns], start == 0, lines_of_row > 1 or row is rows[0])
        for row in rows
        for start in range(0, len(methods), columns)
    ]
    ratios = [_bounded(line.row.picture.height / line.row.picture.width) for line in lines]
    above = sum(line.header_lines(headers) for line in lines)
    below = sum(_caption(row, letters).count("\n") for row in rows)
    height = side * sum(ratios) + _TEXT * len(rows) + _LINE * (above + below)
    if height > _MAX_INCHES:
        raise ConfigError(
            f"{len(rows)} rows would be {height:.0f} inches high, and {_MAX_INCHES} can be drawn; draw fewer"
        )
    figure = blank(height, width, "compressed")
    grid = figure.subplots(len(lines), columns + 1, squeeze=False, height_ratios=ratios)
    for cells, line, ratio in zip(grid, lines, ratios, strict=True):
        _draw_line(cells, line, headers, letters, int(letters * ratio))
    note(figure, f"{text} {COLOURING}")
    return figure


class Line(NamedTuple):
    """A line of cells: the picture, if it begins a row, and some methods' overlays.

    Attributes:
        row: the explanation.
        methods: labels.
        begins: whether the picture is shown.
        titled: whether the cells have titles.
    """

    row: Row
    methods: Sequence[str]
    begins: bool
    titled: bool

    def header_lines(self, headers: Mapping[str, str]) -> int:
        """How many lines of text stand above the cells; ``headers`` are the titles by method."""
        return max(headers[label].count("\n") + 1 for label in self.methods) if self.titled else 0


def _draw_line(
    cells: Sequence[Axes], line: Line, headers: Mapping[str, str], across: int, upwards: int
) -> None:
    """Draw a line's cells, whose sides have place for so many letters."""
    first, *others = cells
    if line.begins:
        _picture(first, line.row)
        first.set_xlabel(_caption(line.row, across), labelpad=3, parse_math=False)
        first.set_ylabel(shortened(line.row.image_id, upwards), parse_math=False)
    shown = dict(zip(others, line.methods, strict=False))
    for axes, label in shown.items():
        axes.imshow(overlay(line.row.picture, line.row.maps[label]))
    titles = {
        first: "Picture" if line.begins else "",
        **{axes: headers[label] for axes, label in shown.items()},
    }
    for axes in cells:
        _bound_proportions(axes)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        if line.titled:
            axes.set_title(titles.get(axes, ""))


def shortened(image_id: str, letters: int) -> str:
    """The end of an id that is too long; the beginning is dropped, because pictures of one set share it."""
    return image_id if len(image_id) <= letters else f"…{image_id[-max(letters - 1, 1) :]}"


def _bounded(ratio: float) -> float:
    return min(max(ratio, _FLATTEST), _HIGHEST)


def _bound_proportions(axes: Axes) -> None:
    """Add space beside a picture whose proportions a row cannot have."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width, height = right - left, bottom - top
    ratio = _bounded(height / width)
    if ratio == height / width:
        return
    across, down = max(width, height / ratio), max(height, width * ratio)
    x, y = (left + right) / 2, (bottom + top) / 2
    axes.set_xlim(x - across / 2, x + across / 2)
    axes.set_ylim(y + down / 2, y - down / 2)


def _caption(row: Row, letters: int) -> str:
    """The class and its score, which stand below the picture."""
    return f"{in_lines(row.class_name, letters)}\n{score_line(row.score)}"


def _picture(axes: Axes, row: Row) -> None:
    axes.imshow(row.picture)
    for box in row.boxes:
        corner = (box.xmin - 1.5, box.ymin - 1.5)
        for color, line in (("black", 1.8), (_BOX, 0.9)):
            outline = Rectangle(corner, *box.length, angle=box.rotation, rotation_point="center")
            outline.set(fill=False, edgecolor=color, linewidth=line)
            axes.add_patch(outline)
