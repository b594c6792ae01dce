"""The chance levels of a configuration's pairs, from their annotations alone."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from adasise_bench.data.dataset import Annotation, Dataset
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.rules import Corners, Ties
from adasise_bench.data.selection import chosen_images
from adasise_bench.data.transforms import input_shape
from adasise_bench.metrics import chance
from adasise_bench.metrics.chance import FixedMap, Places, Target, half_of, target_of
from adasise_bench.reporting.tables.chance import (
    CENTRE,
    CLASS_MAP,
    CLASS_PIXEL,
    FITTED_CLASS_PIXEL,
    FITTED_PIXEL,
    GAUSSIANS,
    LEVELS,
    LOCATED,
    MAP,
    PIXEL,
    RANDOM_TIES,
    TIES,
    ChanceLevels,
)
from adasise_bench.run.config import RunConfig
from adasise_bench.utils.errors import DataError

CHOSEN = 0
"""Stands for the pairs that a configuration chooses, beside the halves of the whole data set."""

HALVES = (1, 2)

_Fitted = TypeVar("_Fitted")

Values = dict[tuple[str, str], float]
"""Percent by metric and level."""


@dataclass(frozen=True)
class _Pair:
    """One picture and class."""

    image_id: str
    class_name: str
    annotation: Annotation
    shape: tuple[int, int]

    @property
    def inside(self) -> NDArray[np.bool_]:
        inside: NDArray[np.bool_] = self.annotation.inside(self.class_name, self.shape).numpy()
        return inside

    @property
    def target(self) -> Target | None:
        return target_of(self.annotation, self.class_name)


def chance_levels(config: RunConfig) -> ChanceLevels:
    """Compute them; pictures, networks and methods of the configuration are not looked at.

    Maps are fitted to pairs of the *whole* data set, whatever part of it the configuration chooses: its
    pictures are divided into two halves by their names, and a pair is held against what was fitted to the
    other half. Only the levels that say so are fitted to the chosen pairs themselves.

    Raises:
        DataError: no annotations, or none that can be used.
        ConfigError: no such data set.
    """
    data = config.data
    dataset = open_dataset(data.model_copy(update={"download": False}))
    chosen = set(chosen_images(dataset.images, data.sample, config.seed, config.limit, config.shard))
    annotations, unusable = _read(dataset, config.rules.corners)
    ties = config.rules.ties

    def pairs(image_ids: set[str] | None = None) -> Iterator[_Pair]:
        for image_id, annotation in annotations.items():
            if image_ids is None or image_id in image_ids:
                shape = input_shape(annotation.picture_size, data.resize, data.input_size)
                for class_name in annotation.class_names:
                    yield _Pair(image_id, class_name, annotation, shape)

    with _one_thread():
        fits = _fits(pairs(), chosen, ties) if data.resize == "stretch" else None
        rows = {(pair.image_id, pair.class_name): _values(pair, fits, ties) for pair in pairs(chosen)}
    if not rows:
        raise DataError(f"{dataset.name}: this limit and shard choose no picture with a usable annotation")
    index = pd.MultiIndex.from_tuples(list(rows), names=["image_id", "class_name"])
    columns = pd.MultiIndex.from_product([LOCATED, LEVELS])
    values = pd.DataFrame(list(rows.values()), index).reindex(columns=columns).astype(float)
    return ChanceLevels(
        values,
        values["ebpg", RANDOM_TIES].rename("box_share"),
        dataset.name,
        f"{data.input_size} px ({data.resize})",
        fits.covered if fits else None,
        config.rules,
        tuple(str(unusable[image_id]) for image_id in unusable if image_id in chosen),
    )


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep torch from sharing out work that takes less time than waking other threads does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _read(dataset: Dataset, corners: Corners) -> tuple[dict[str, Annotation], dict[str, DataError]]:
    """The annotations of all pictures, and why some cannot be used."""
    annotations: dict[str, Annotation] = {}
    unusable: dict[str, DataError] = {}
    for image_id in dataset.images:
        try:
            annotations[image_id] = dataset.annotation(image_id).with_corners(corners)
        except DataError as error:
            unusable[image_id] = error
    if not annotations:
        raise next(iter(unusable.values()))
    return annotations, unusable


class _Fits:
    """Fixed maps for every pair, each fitted when it is first asked for.

    Args:
        chosen: where the chosen pairs lie, by class.
        halves: where all pairs of each half lie, by half and class.
        ties: the rule for equal pixels of the maps.
    """

    def __init__(
        self, chosen: Mapping[str, Places], halves: Mapping[int, Mapping[str, Places]], ties: Ties
    ) -> None:
        self._places = {CHOSEN: chosen, **halves}
        self.pixel: Callable[[int, str | None], int | None] = cache(partial(self._fit, chance.best_pixel))
        self.point: Callable[[int, str | None], int | None] = cache(partial(self._fit, chance.best_point))
        self.bbox_map: Callable[[int, str | None], FixedMap | None] = cache(
            partial(self._fit, partial(chance.best_bbox_map, ties=ties))
        )
        self.miou_map: Callable[[int, str | None], FixedMap | None] = cache(
            partial(self._fit, partial(chance.best_miou_map, ties=ties))
        )

    @property
    def covered(self) -> NDArray[np.float64]:
        """(H, W) percent of the chosen pairs that cover a pixel."""
        groups = self._places[CHOSEN].values()
        counts: NDArray[np.int64] = np.sum([group.covered for group in groups], axis=0)
        return 100 * counts / sum(group.pairs for group in groups)

    def _fit(self, fit: Callable[[Iterable[Places]], _Fitted], part: int, class_name: str | None) -> _Fitted:
        """What is fitted to a half, or to the chosen pairs, of one class or of all."""
        return fit([group for name, group in self._places[part].items() if class_name in (None, name)])


def _fits(pairs: Iterable[_Pair], chosen: Container[str], ties: Ties) -> _Fits:
    """Sum up where the objects of all pairs lie, and those of the chosen pictures once more."""
    places: dict[int, dict[str, Places]] = {CHOSEN: {}, **{half: {} for half in HALVES}}
    for pair in pairs:
        inside, target = pair.inside, pair.target
        hits = target.hits(pair.shape) if target else None
        for part in (half_of(pair.image_id), *([CHOSEN] if pair.image_id in chosen else [])):
            places[part].setdefault(pair.class_name, Places(pair.shape)).add(inside, hits)
    return _Fits(places.pop(CHOSEN), places, ties)


def _values(pair: _Pair, fits: _Fits | None, ties: Ties) -> Values:
    """What every level gets on one pair."""
    inside = _Inside(pair, ties)
    values = inside.at_random(RANDOM_TIES)
    values |= inside.of_map(TIES, chance.uniform(pair.shape, ties), (0, 0))
    for sigma, level in GAUSSIANS.items():
        point = chance.gaussian_point(pair.shape, sigma, pair.annotation.picture_size)
        values |= inside.of_map(level, chance.gaussian(pair.shape, sigma, ties), point)
    values |= inside.of_pixel(CENTRE, chance.centre_pixel(pair.shape))
    if fits is None:
        return values
    other, name = 3 - half_of(pair.image_id), pair.class_name
    values |= inside.of_pixel(FITTED_PIXEL, fits.pixel(CHOSEN, None))
    values |= inside.of_pixel(PIXEL, fits.pixel(other, None))
    values |= inside.of_pixel(FITTED_CLASS_PIXEL, fits.pixel(CHOSEN, name))
    values |= inside.of_pixel(CLASS_PIXEL, fits.pixel(other, name))
    values |= inside.of_best(MAP, fits, other, None)
    return values | inside.of_best(CLASS_MAP, fits, other, name)


class _Inside:
    """The region of one pair, against which maps are held."""

    def __init__(self, pair: _Pair, ties: Ties) -> None:
        self._shape, self._ties = pair.shape, ties
        self._pixels = np.flatnonzero(pair.inside)
        self._target = pair.target
        self._hits = self._target.hits(pair.shape).ravel() if self._target else None

    def at_random(self, level: str) -> Values:
        """The mean over all orders of the pixels of a map whose pixels are all equal."""
        pixels, inside = self._shape[0] * self._shape[1], len(self._pixels)
        share = 100 * inside / pixels
        miou = chance.miou_at_random(pixels, inside, chance.uniform(self._shape).top)
        values = {("ebpg", level): share, ("bbox", level): share, ("miou", level): miou}
        if self._hits is not None:
            values["pointing", level] = 100 * float(self._hits.mean())
        return values

    def of_map(self, level: str, fixed: FixedMap, point: tuple[int, int]) -> Values:
        """What a map gets that points at a row and column of the picture."""
        values = self._of_map(level, fixed)
        if self._target is not None:
            values["pointing", level] = 100.0 * self._target.hit(*point)
        return values

    def of_pixel(self, level: str, pixel: int | None) -> Values:
        """What a map of one pixel gets; nothing where there is none."""
        if pixel is None:
            return {}
        fixed = chance.one_pixel(self._shape, pixel, self._ties)
        return self._of_map(level, fixed) | self._of_point(level, pixel)

    def of_best(self, level: str, fits: _Fits, half: int, class_name: str | None) -> Values:
        """What the best map for each metric gets that was fitted to a half, and to one class or all."""
        values = self._of_point(level, fits.point(half, class_name))
        pixel, bbox_map = fits.pixel(half, class_name), fits.bbox_map(half, class_name)
        miou_map = fits.miou_map(half, class_name)
        if pixel is not None and bbox_map is not None and miou_map is not None:
            fixed_pixel = chance.one_pixel(self._shape, pixel, self._ties)
            best = {"ebpg": fixed_pixel, "bbox": bbox_map, "miou": miou_map}
            for metric, fixed in best.items():
                values[metric, level] = fixed.metrics(self._pixels)[metric]
        return values

    def _of_map(self, level: str, fixed: FixedMap) -> Values:
        return {(metric, level): value for metric, value in fixed.metrics(self._pixels).items()}

    def _of_point(self, level: str, pixel: int | None) -> Values:
        if pixel is None or self._hits is None:
            return {}
        return {("pointing", level): 100.0 * bool(self._hits[pixel])}
