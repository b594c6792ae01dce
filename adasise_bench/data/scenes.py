"""Drawn scenes with exact boxes: a small data set in PASCAL VOC layout that needs no download.

Everything is drawn from signed distances with NumPy, so that the pixels do not depend on a drawing library.
All random numbers come from ``numpy.random.default_rng([seed, index])``. Processors differ in the last digit
of angles, sines and lengths. These are therefore computed in float64 and rounded to float32, which removes
the difference.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.data.boxes import Box
from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import folder_made_atomically

SCENE_CLASSES: tuple[str, ...] = ("cross", "disc", "ring", "square", "star", "triangle")

SCENES_SEED = 2007
"""The seed of the embedded set. No other set may use it."""

SCENES_VERSION = 2
"""Increase it with every change that alters the embedded pictures."""

EMBEDDED_COUNT = 64

_SIDES = (200, 420)
_ASPECTS = (0.6, 1.7)
_BOX_SHARES = (0.05, 0.40)
_GAP = 3.0
_CONTRAST = 110.0
_ATTEMPTS = 80

_Field = NDArray[np.float32]
_Mask = NDArray[np.bool_]
_Window = tuple[slice, slice]
_Shape = Callable[[_Field, _Field, float], _Field]


class Scene(NamedTuple):
    """A drawn picture with its objects.

    Attributes:
        pixels: (H, W, 3) uint8 RGB.
        boxes: 1 to 4 objects of 1 to 3 classes; each box touches the object's mask on all sides.
        masks: the pixels of each object, (H, W) bool; masks never overlap.
    """

    pixels: NDArray[np.uint8]
    boxes: tuple[Box, ...]
    masks: tuple[_Mask, ...]


def draw_scene(seed: int, index: int) -> Scene:
    """Draw one scene. Every pixel depends on the arguments alone.

    Args:
        seed: seed of the set, at least 0.
        index: number of the picture in the set, from 0.

    Returns:
        A picture whose sides have 200 to 420 pixels. It is never square: width / height is from 0.6 to 1.7.
        Every box covers 5 to 40 % of it.

    Example:
        >>> from adasise_bench.data.scenes import draw_scene
        >>> scene = draw_scene(seed=1, index=0)
        >>> len(scene.boxes) == len(scene.masks), scene.pixels.shape[2]
        (True, 3)
    """
    rng = np.random.default_rng([seed, index])
    height, width = _picture_size(rng)
    canvas = _background(rng, height, width)
    names = _object_names(rng)
    boxes: list[Box] = []
    masks: list[_Mask] = []
    for name in names:
        figure = _free_figure(rng, name, len(names), (height, width), boxes, masks)
        if figure is None:
            continue
        window, distance = _distance(figure, height, width)
        mask = np.zeros((height, width), dtype=np.bool_)
        mask[window] = distance <= 0
        colour = _object_colour(rng, canvas[:, mask].mean(axis=1), distance)
        _paint(canvas, window, _coverage(distance), colour)
        boxes.append(_tight_box(name, mask))
        masks.append(mask)
    canvas += rng.integers(-7, 8, canvas.shape, dtype=np.int8)
    pixels = np.rint(np.clip(canvas, 0, 255, out=canvas)).astype(np.uint8)
    return Scene(np.ascontiguousarray(pixels.transpose(1, 2, 0)), tuple(boxes), tuple(masks))


def write_scenes(root: Path, count: int, seed: int) -> None:
    """Write a set as ``root/VOCdevkit/VOC2007``, image set ``test``. It appears completely or not at all.

    Args:
        root: the new folder; if it exists, it must be empty.
        count: number of pictures; their ids begin at 000001.
        seed: see :func:`draw_scene`.

    Raises:
        OSError: the folder cannot be written or is not empty.
    """
    with folder_made_atomically(root) as unfinished:
        base = unfinished / "VOCdevkit" / "VOC2007"
        for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (base / folder).mkdir(parents=True)
        ids = [f"{number:06d}" for number in range(1, count + 1)]
        for index, image_id in enumerate(ids):
            scene = draw_scene(seed, index)
            Image.fromarray(scene.pixels).save(base / "JPEGImages" / f"{image_id}.jpg", quality=95)
            (base / "Annotations" / f"{image_id}.xml").write_text(_annotation(image_id, scene))
        (base / "ImageSets" / "Main" / "test.txt").write_text("".join(f"{image_id}\n" for image_id in ids))


def embedded_root(cache: Path | None = None) -> Path:
    """The folder of the embedded set (64 pictures), which is drawn when it is first used.

    Args:
        cache: folder in which it is kept, by default ``$XDG_CACHE_HOME/adasise-bench``.

    Returns:
        The folder that holds ``VOCdevkit``.

    Raises:
        OutputError: the set does not exist yet, and cannot be written.
    """
    parent = cache or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "adasise-bench"
    try:
        parent = parent.expanduser()
        root = parent / f"scenes-v{SCENES_VERSION}"
        if not root.is_dir():
            _write_unless_another_does(root)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{parent}: cannot write the drawn scenes: {reason}; set XDG_CACHE_HOME to a writable folder"
        ) from None
    return root


def _write_unless_another_does(root: Path) -> None:
    try:
        write_scenes(root, EMBEDDED_COUNT, SCENES_SEED)
    except OSError:
        if not root.is_dir():
            raise


def _annotation(image_id: str, scene: Scene) -> str:
    height, width, depth = scene.pixels.shape
    objects = "".join(
        f"\t<object>\n\t\t<name>{box.class_name}</name>\n\t\t<difficult>0</difficult>\n\t\t<bndbox>\n"
        f"\t\t\t<xmin>{box.xmin}</xmin>\n\t\t\t<ymin>{box.ymin}</ymin>\n"
        f"\t\t\t<xmax>{box.xmax}</xmax>\n\t\t\t<ymax>{box.ymax}</ymax>\n\t\t</bndbox>\n\t</object>\n"
        for box in scene.boxes
    )
    return (
        f"<annotation>\n\t<folder>VOC2007</folder>\n\t<filename>{image_id}.jpg</filename>\n"
        f"\t<size>\n\t\t<width>{width}</width>\n\t\t<height>{height}</height>\n\t\t<depth>{depth}</depth>\n"
        f"\t</size>\n{objects}</annotation>\n"
    )


def _picture_size(rng: Generator) -> tuple[int, int]:
    while True:
        height, width = (int(side) for side in rng.integers(*_SIDES, size=2, endpoint=True))
        if width != height and _ASPECTS[0] <= width / height <= _ASPECTS[1]:
            return height, width


def _object_names(rng: Generator) -> list[str]:
    """1 to 3 classes, and in every third scene one of them a second time."""
    distinct = rng.choice(len(SCENE_CLASSES), size=rng.integers(1, 4), replace=False)
    names = [SCENE_CLASSES[index] for index in distinct]
    return [*names, names[0]] if rng.random() < 1 / 3 else names


class _Figure(NamedTuple):
    """A shape of unit size with its place in the picture: centre and radius in pixels, turned by ``turn``."""

    shape: _Shape
    x: float
    y: float
    radius: float
    turn: float
    form: float


def _distance(figure: _Figure, height: int, width: int, margin: float = 2.0) -> tuple[_Window, _Field]:
    """The signed distance in pixels, negative inside, in the part of the picture that the figure reaches."""
    reach = figure.radius + margin
    rows = slice(max(int(figure.y - reach), 0), max(min(int(figure.y + reach) + 1, height), 0))
    columns = slice(max(int(figure.x - reach), 0), max(min(int(figure.x + reach) + 1, width), 0))
    y = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - figure.y) / figure.radius
    x = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - figure.x) / figure.radius
    cosine, sine = np.float32(np.cos(figure.turn)), np.float32(np.sin(figure.turn))
    inside = figure.shape(cosine * x + sine * y, cosine * y - sine * x, figure.form)
    return (rows, columns), np.float32(figure.radius) * inside


def _coverage(distance: _Field, softness: float = 1.0) -> _Field:
    """The share of every pixel that is painted, from 0 to 1. The edge is ``softness`` pixels wide."""
    covered: _Field = np.clip(np.float32(0.5) - distance / np.float32(softness), 0, 1)
    return covered


def _paint(canvas: _Field, window: _Window, coverage: _Field, colour: _Field) -> None:
    """Blend ``colour``, (3, h, w) or broadcastable to it, into a (3, H, W) canvas."""
    part = canvas[(slice(None), *window)]
    part += coverage * (colour - part)


def _free_figure(
    rng: Generator, name: str, crowd: int, size: tuple[int, int], boxes: list[Box], masks: list[_Mask]
) -> _Figure | None:
    """A random place, size and turn for an object that touches no other; ``None`` if none is found."""
    height, width = size
    largest = min(0.38, 0.5 / crowd)
    taken = np.any(masks, axis=0) if masks else np.zeros(size, dtype=np.bool_)
    for _ in range(_ATTEMPTS):
        share = np.exp(rng.uniform(np.log(0.055), np.log(largest)))
        radius = float(np.sqrt(share * height * width)) / 2
        x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
        turn, form = rng.uniform(0, 2 * np.pi), rng.uniform()
        figure = _Figure(_OBJECTS[name], x, y, radius, turn, form)
        window, distance = _distance(figure, height, width)
        if (taken[window] & (distance < _GAP)).any():
            continue
        mask = np.zeros(size, dtype=np.bool_)
        mask[window] = distance <= 0
        box = _tight_box(name, mask)
        share = _area(box) / (height * width)
        if _BOX_SHARES[0] <= share <= _BOX_SHARES[1] and all(_overlap(box, other) < 0.12 for other in boxes):
            return figure
    return None


def _tight_box(name: str, mask: _Mask) -> Box:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return Box(name, int(columns[0]) + 1, int(rows[0]) + 1, int(columns[-1]) + 1, int(rows[-1]) + 1)


def _area(box: Box) -> float:
    return (box.xmax - box.xmin + 1) * (box.ymax - box.ymin + 1)


def _overlap(one: Box, other: Box) -> float:
    """The share of the smaller box that both have in common, from 0 to 1."""
    width = min(one.xmax, other.xmax) - max(one.xmin, other.xmin) + 1
    height = min(one.ymax, other.ymax) - max(one.ymin, other.ymin) + 1
    return max(width, 0) * max(height, 0) / min(_area(one), _area(other))


def _object_colour(rng: Generator, behind: _Field, distance: _Field) -> _Field:
    """A colour that differs clearly from the background, with shading from one side to the other."""
    candidates = rng.uniform(0, 255, (12, 3)).astype(np.float32)
    contrasting = candidates[np.linalg.norm(candidates - behind, axis=1) >= _CONTRAST]
    colour = contrasting[0] if len(contrasting) else np.where(behind < 128, 255, 0).astype(np.float32)
    height, width = distance.shape
    down = rng.uniform(-25, 25) * np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    across = rng.uniform(-25, 25) * np.linspace(-1, 1, width, dtype=np.float32)
    shaded: _Field = colour[:, None, None] + down + across
    return shaded


def _background(rng: Generator, height: int, width: int) -> _Field:
    """A background: a colour gradient, soft blobs, lines, and shapes that belong to no class."""
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(0, 1, width, dtype=np.float32)
    corners = (rng.uniform(30, 225, 3) + rng.uniform(-50, 50, (2, 2, 3))).astype(np.float32)[..., None, None]
    canvas: _Field = (1 - down) * ((1 - across) * corners[0, 0] + across * corners[0, 1]) + down * (
        (1 - across) * corners[1, 0] + across * corners[1, 1]
    )
    side = min(height, width)
    for _ in range(rng.integers(3, 8)):
        blob = _anywhere(rng, _blob, height, width, rng.uniform(0.1, 0.4) * side)
        _clutter(rng, canvas, blob, rng.uniform(0.15, 0.45), softness=blob.radius * 0.9)
    for _ in range(rng.integers(2, 7)):
        line = _anywhere(rng, _line, height, width, rng.uniform(0.3, 1.0) * side)
        _clutter(rng, canvas, line, rng.uniform(0.3, 0.8))
    for _ in range(rng.integers(2, 7)):
        shape = _DISTRACTORS[rng.integers(len(_DISTRACTORS))]
        _clutter(rng, canvas, _anywhere(rng, shape, height, width, rng.uniform(0.08, 0.3) * side), 0.95)
    return canvas


def _anywhere(rng: Generator, shape: _Shape, height: int, width: int, radius: float) -> _Figure:
    x, y = rng.uniform(0, width), rng.uniform(0, height)
    turn, form = rng.uniform(0, 2 * np.pi), rng.uniform()
    return _Figure(shape, x, y, radius, turn, form)


def _clutter(rng: Generator, canvas: _Field, figure: _Figure, opacity: float, softness: float = 1.0) -> None:
    window, distance = _distance(figure, canvas.shape[1], canvas.shape[2], softness + 2)
    colour = rng.uniform(0, 255, (3, 1, 1)).astype(np.float32)
    _paint(canvas, window, np.float32(opacity) * _coverage(distance, softness), colour)


# Shapes: the signed distance at (u, v) to a figure within the unit circle. ``form`` varies its proportions.


def _norm(u: _Field, v: _Field) -> _Field:
    return np.hypot(u, v, dtype=np.float64).astype(np.float32)


def _angle(u: _Field, v: _Field) -> _Field:
    return np.arctan2(v, u, dtype=np.float64).astype(np.float32)


def _band(u: _Field, v: _Field, radius: float, half_width: float) -> _Field:
    band: _Field = np.abs(_norm(u, v) - np.float32(radius)) - np.float32(half_width)
    return band


def _sector(u: _Field, v: _Field, extent: float) -> _Field:
    sector: _Field = (np.abs(_angle(u, v)) - np.float32(extent)) * _norm(u, v)
    return sector


def _disc(u: _Field, v: _Field, form: float) -> _Field:
    return _norm(u, v) - np.float32(1)


def _ring(u: _Field, v: _Field, form: float) -> _Field:
    half_width = 0.13 + 0.07 * form
    return _band(u, v, 1 - half_width, half_width)


def _square(u: _Field, v: _Field, form: float) -> _Field:
    return np.maximum(np.abs(u), np.abs(v)) - np.float32(np.sqrt(0.5))


def _cross(u: _Field, v: _Field, form: float) -> _Field:
    u, v, half_width = np.abs(u), np.abs(v), 0.18 + 0.1 * form
    length = np.sqrt(1 - half_width**2)
    return np.maximum(np.minimum(u, v) - np.float32(half_width), np.maximum(u, v) - np.float32(length))


def _triangle(u: _Field, v: _Field, form: float) -> _Field:
    return np.maximum(np.float32(np.sqrt(0.75)) * np.abs(u) + v / 2, -v) - np.float32(0.5)


def _star(u: _Field, v: _Field, form: float) -> _Field:
    """A star of five points. The plane is folded onto half of a point, which has only one straight edge."""
    inner, fifth = 0.38 + 0.1 * form, np.float32(2 * np.pi / 5)
    angle = _angle(u, v)
    angle = np.abs(angle - fifth * np.round(angle / fifth))
    radius = _norm(u, v)
    notch = inner * np.exp(0.5j * fifth)
    normal = (1 - notch) * 1j / abs(1 - notch)
    cosine, sine = (wave(angle, dtype=np.float64).astype(np.float32) for wave in (np.cos, np.sin))
    return np.float32(normal.real) * (radius * cosine - 1) + np.float32(normal.imag) * radius * sine


def _line(u: _Field, v: _Field, form: float) -> _Field:
    return np.maximum(np.abs(u) - np.float32(0.99), np.abs(v) - np.float32(0.008 + 0.01 * form))


def _bar(u: _Field, v: _Field, form: float) -> _Field:
    return np.maximum(np.abs(u) - np.float32(0.99), np.abs(v) - np.float32(0.05 + 0.035 * form))


def _arc(u: _Field, v: _Field, form: float) -> _Field:
    return np.maximum(_band(u, v, 0.9, 0.1), _sector(u, v, 0.5 + 0.6 * form))


def _wedge(u: _Field, v: _Field, form: float) -> _Field:
    return np.maximum(_disc(u, v, form), _sector(u, v, 0.12 + 0.13 * form))


def _blob(u: _Field, v: _Field, form: float) -> _Field:
    return _norm(u, v / np.float32(0.3 + 0.6 * form)) - np.float32(1)


_OBJECTS: dict[str, _Shape] = {
    "cross": _cross,
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "star": _star,
    "triangle": _triangle,
}
_DISTRACTORS: tuple[_Shape, ...] = (_bar, _arc, _wedge)
