"""What a map gets that does not look at the picture: the chance levels of the localisation metrics.

A *fixed map* is the same for every picture. What it gets follows from where the objects lie, so that neither
pictures nor a network are needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata

from adasise_bench.data.boxes import span
from adasise_bench.data.dataset import Annotation
from adasise_bench.data.rules import Ties
from adasise_bench.data.selection import shard_of
from adasise_bench.metrics.localisation import IOU_SHARE, TOLERANCE
from adasise_bench.metrics.pixels import pixel_order, share_of_pixels
from adasise_bench.utils.centre_gaussian import CENTRE_SIGMA, centre_gaussian

CELLS = 14
"""Maps are fitted with so many cells a side: finer ones get the same on VOC 2007, to a tenth of a point."""

_STEPS = 20

_Bools = NDArray[np.bool_]
_Floats = NDArray[np.float64]
_Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class FixedMap:
    """A map that is the same for every picture, prepared for being held against many regions.

    Attributes:
        energy: (H·W,) float64, the pixels' shares of the map's energy; they sum to 1.
        rank: (H·W,) int32: a pixel belongs to the N highest where its rank is lower than N. The highest pixel
            has rank 0. Of equal pixels, the first in row-major order is higher; with strict ties all have the
            rank of the last.
        top: the N of mIoU.
    """

    energy: _Floats
    rank: NDArray[np.int32]
    top: int

    @classmethod
    def of(cls, saliency: torch.Tensor, ties: Ties) -> FixedMap:
        """Prepare a map, (H, W), at least 0, with some energy; ``ties`` as in :func:`.top_pixels`."""
        order = pixel_order(saliency).numpy()
        rank = np.empty(len(order), np.int32)
        rank[order] = np.arange(len(order))
        energy = saliency.double().flatten().numpy()
        if ties == "strict":
            rank = rankdata(-energy, "max").astype(np.int32) - 1
        return cls(energy / energy.sum(), rank, share_of_pixels(saliency, IOU_SHARE))

    @cached_property
    def taken(self) -> int:
        """How many pixels mIoU takes: with strict ties perhaps fewer than ``top``."""
        return int(np.count_nonzero(self.rank < self.top))

    def metrics(self, pixels: _Ints) -> dict[str, float]:
        """EBPG, Bbox and mIoU in percent, as the functions of :mod:`.localisation` compute them.

        Args:
            pixels: row-major indices of the region's pixels, (N,) int64; at least one.
        """
        ranks, count = self.rank[pixels], len(pixels)
        common = np.count_nonzero(ranks < self.top)
        return {
            "ebpg": float(100 * self.energy[pixels].sum()),
            "bbox": 100 * np.count_nonzero(ranks < count) / count,
            "miou": 100 * common / (self.taken + count - common),
        }


@lru_cache(maxsize=1024)
def one_pixel(shape: tuple[int, int], pixel: int, ties: Ties = "row-major") -> FixedMap:
    """The map that is 0 but for one pixel, given by its row-major index."""
    saliency = torch.zeros(shape)
    saliency.view(-1)[pixel] = 1
    return FixedMap.of(saliency, ties)


@lru_cache(maxsize=1024)
def gaussian(shape: tuple[int, int], sigma: float = CENTRE_SIGMA, ties: Ties = "row-major") -> FixedMap:
    """The control ``centre``: a Gaussian whose standard deviation is a share of the sides."""
    return FixedMap.of(centre_gaussian(shape, sigma), ties)


@lru_cache(maxsize=1024)
def uniform(shape: tuple[int, int], ties: Ties = "row-major") -> FixedMap:
    """The map whose pixels are all equal, so that the rule for equal pixels decides which are the highest."""
    return FixedMap.of(torch.ones(shape), ties)


@lru_cache(maxsize=4096)
def miou_at_random(pixels: int, region: int, top: int) -> float:
    """The mean IoU of a region with pixels that are taken at random, in percent.

    The number of common pixels is hypergeometric: ``top`` of ``pixels`` are drawn without replacement, of
    which ``region`` are inside.

    Args:
        pixels: how many the input has.
        region: how many are inside, at least 1.
        top: how many are taken.

    >>> miou_at_random(2, 1, 1)  # the right one or the wrong one
    50.0
    """
    common = np.arange(max(0, top + region - pixels), min(top, region) + 1)
    before, after = common[:-1], common[1:]
    # Each chance over the one before it: much faster than the binomials for every pair of a data set.
    ratios = (region - before) * (top - before) / (after * (pixels - region - top + after))
    logarithms = np.append(0, np.log(ratios).cumsum())
    chances = np.exp(logarithms - logarithms.max())
    return float(100 * (chances * common / (top + region - common)).sum() / chances.sum())


def centre_pixel(shape: tuple[int, int]) -> int:
    """Row-major index of the pixel in the middle; of four the lower right one."""
    height, width = shape
    return height // 2 * width + width // 2


def pair_levels(inside: torch.Tensor, ties: Ties = "row-major") -> dict[str, float]:
    """What the centre pixel and the centre Gaussian get on one pair: the columns ``chance_*`` of a record.

    Args:
        inside: (H, W) bool region on the CPU, not empty.
        ties: as in :func:`.top_pixels`.

    Returns:
        Percent, by the columns' names.
    """
    shape = inside.shape[0], inside.shape[1]
    pixels = np.flatnonzero(inside.numpy())
    pixel = one_pixel(shape, centre_pixel(shape), ties).metrics(pixels)
    blob = gaussian(shape, ties=ties).metrics(pixels)
    return {
        "chance_pixel_ebpg": pixel["ebpg"],
        "chance_pixel_bbox": pixel["bbox"],
        "chance_gaussian_ebpg": blob["ebpg"],
        "chance_gaussian_bbox": blob["bbox"],
    }


class Target:
    """Where the pointing game counts a point as a hit for one class of one picture.

    Args:
        annotation: the picture's objects.
        class_name: the class, of which at least one object is not difficult.
    """

    def __init__(self, annotation: Annotation, class_name: str) -> None:
        self._size = annotation.picture_size
        boxes = [box for box in annotation.boxes if box.class_name == class_name]
        self._spans: list[tuple[tuple[int, int], tuple[int, int]]] = []
        self._near: _Bools | None = None
        width, height = self._size
        if annotation.outlines is not None or any(box.rotation for box in boxes):
            region = annotation.inside(class_name, (height, width)).numpy()
            self._near = distance_transform_edt(~region) < TOLERANCE
        else:
            self._spans = [
                (span(box.ymin, box.ymax, height, height), span(box.xmin, box.xmax, width, width))
                for box in boxes
            ]

    def hit(self, row: int, column: int) -> bool:
        """Whether a point of the picture hits, given by its row and column."""
        return bool(self._hits(np.array([row]), np.array([column]))[0, 0])

    def hits(self, shape: tuple[int, int]) -> _Bools:
        """Which pixels of the input hit, (H, W), where a map has its one pixel that is not 0.

        The map is resized bilinearly to the picture. A pixel that this leaves out points at the picture's
        first pixel, as every map does whose pixels are all equal.
        """
        (rows, row_lost), (columns, column_lost) = (
            _peaks(side, length) for side, length in zip(shape, self._size[::-1], strict=True)
        )
        lost = row_lost[:, None] | column_lost
        hits = self._hits(rows, columns)
        return np.where(lost, self.hit(0, 0), hits) if lost.any() else hits

    def _hits(self, rows: _Ints, columns: _Ints) -> _Bools:
        """(R, C): which of the points in these rows and columns hit."""
        if self._near is not None:
            return self._near[rows][:, columns]
        hits = np.zeros((len(rows), len(columns)), np.bool_)
        for vertical, horizontal in self._spans:
            down, across = _distance(rows, vertical), _distance(columns, horizontal)
            hits |= down[:, None] ** 2 + across**2 < TOLERANCE**2
        return hits


def target_of(annotation: Annotation, class_name: str) -> Target | None:
    """The pointing game's target; ``None`` where all objects of the class are "difficult"."""
    if all(box.difficult for box in annotation.boxes if box.class_name == class_name):
        return None
    return Target(annotation, class_name)


def _distance(positions: _Ints, span: tuple[int, int]) -> _Ints:
    """Pixels from each position to the nearest of the half-open range ``span``."""
    start, stop = span
    return np.maximum(np.maximum(start - positions, positions - (stop - 1)), 0)


@lru_cache(maxsize=4096)
def _peaks(side: int, length: int) -> tuple[_Ints, _Bools]:
    """Where each of ``side`` pixels is highest when resized to ``length``, and which of them are left out."""
    weights = F.interpolate(torch.eye(side)[:, None], length, mode="linear", align_corners=False)[:, 0]
    return weights.argmax(dim=1).numpy(), (weights.amax(dim=1) == 0).numpy()


@lru_cache(maxsize=4096)
def gaussian_point(shape: tuple[int, int], sigma: float, picture_size: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the picture's pixel that the centre Gaussian points at."""
    width, height = picture_size
    blob = centre_gaussian(shape, sigma)[None, None]
    resized = F.interpolate(blob, (height, width), mode="bilinear", align_corners=False)
    row, column = divmod(int(resized.argmax()), width)
    return row, column


def half_of(image_id: str) -> int:
    """Which half of all pictures a picture belongs to, 1 or 2, whatever other pictures there are."""
    return shard_of(image_id, 2)


class Places:
    """Where the objects of some pairs lie, summed up: what fixed maps are fitted to.

    Args:
        shape: height and width of the input.

    Attributes:
        covered: (H, W) how many pairs have the pixel in their region.
        hits: (H, W) how many pairs a map points at that has its highest pixel there.
        pairs: how many pairs there are.
        targets: how many of them take part in the pointing game.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.covered, self.hits = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.pairs = self.targets = 0
        self._shares: list[_Floats] = []
        self._sizes: list[int] = []

    shape: tuple[int, int]

    def add(self, inside: _Bools, hits: _Bools | None) -> None:
        """Count one pair in.

        Args:
            inside: (H, W) bool region.
            hits: (H, W), see :meth:`Target.hits`; ``None`` where the pair has no target.
        """
        self.covered += inside
        self.pairs += 1
        self._shares.append(_cell_shares(inside).ravel())
        self._sizes.append(int(np.count_nonzero(inside)))
        if hits is not None:
            self.hits += hits
            self.targets += 1

    @property
    def cells(self) -> tuple[_Floats, _Floats]:
        """(pairs, cells) share of each cell inside the region; (pairs,) the regions' sizes in cells."""
        height, width = self.shape
        return np.array(self._shares).reshape(-1, CELLS**2), np.array(self._sizes) * CELLS**2 / (
            height * width
        )


def _cell_shares(inside: _Bools) -> _Floats:
    """(CELLS, CELLS) share of every cell's pixels that are inside; no side is shorter than that."""
    rows, columns = (np.arange(CELLS) * side // CELLS for side in inside.shape)
    counts = np.add.reduceat(np.add.reduceat(inside, rows, axis=0, dtype=np.int64), columns, axis=1)
    ends = (np.append(starts[1:], side) for starts, side in zip((rows, columns), inside.shape, strict=True))
    heights, widths = (end - start for end, start in zip(ends, (rows, columns), strict=True))
    shares: _Floats = counts / (heights[:, None] * widths)
    return shares


def best_pixel(places: Iterable[Places]) -> int | None:
    """Row-major index of the pixel that lies in the most regions; ``None`` without pairs.

    It is also the best fixed map for EBPG: the metric is linear in the shares of a map's energy, so that no
    map gets more than its best pixel.
    """
    return _highest([group.covered for group in places if group.pairs])


def best_point(places: Iterable[Places]) -> int | None:
    """Row-major index of the pixel whose share of hits, averaged over the groups, is the highest.

    Args:
        places: one group for each class, as the pointing game averages over classes.
    """
    return _highest([group.hits / group.targets for group in places if group.targets])


def _highest(maps: Sequence[_Ints] | Sequence[_Floats]) -> int | None:
    return int(np.argmax(np.sum(maps, axis=0))) if len(maps) else None


def best_bbox_map(places: Iterable[Places], ties: Ties = "row-major") -> FixedMap | None:
    """The fixed map that is best for Bbox among the rankings of :data:`CELLS` x ``CELLS`` cells.

    The cell on rank k counts for the pairs whose N highest cells reach it, each with the share of the cell
    inside the region over N. Which cell to put on which rank is therefore an assignment problem. The ranking
    is resized bilinearly to the input. ``None`` without pairs.
    """
    groups = [group for group in places if group.pairs]
    if not groups:
        return None
    shares, sizes = _joined(groups)
    reached = np.clip(sizes[:, None] - np.arange(CELLS**2), 0, 1) / sizes[:, None]
    cell, rank = linear_sum_assignment(shares.T @ reached, maximize=True)
    height = np.empty(CELLS**2)
    height[cell] = CELLS**2 - rank
    return _resized(height, groups[0].shape, ties)


def best_miou_map(places: Iterable[Places], ties: Ties = "row-major") -> FixedMap | None:
    """A fixed map for mIoU: its top 20 % of cells have the highest mean IoU that ascent by tangents finds.

    The IoU is convex in the number of cells that the top and the region share. Its tangent is a lower bound,
    so that taking the cells with the highest sum of tangents never lowers the mean (the convex-concave
    procedure). The cells' sums are resized bilinearly to the input. ``None`` without pairs.
    """
    groups = [group for group in places if group.pairs]
    if not groups:
        return None
    shares, sizes = _joined(groups)
    top_size = IOU_SHARE * CELLS**2
    gain, top = shares.sum(axis=0), np.array([], np.int64)
    for _ in range(_STEPS):
        chosen = np.sort(np.argsort(-gain, kind="stable")[: round(top_size)])
        if np.array_equal(chosen, top):
            break
        top = chosen
        common = shares[:, top].sum(axis=1)
        gain = shares.T @ ((top_size + sizes) / (top_size + sizes - common) ** 2)
    return _resized(gain, groups[0].shape, ties)


def _joined(groups: Sequence[Places]) -> tuple[_Floats, _Floats]:
    shares, sizes = zip(*(group.cells for group in groups), strict=True)
    return np.concatenate(shares), np.concatenate(sizes)


def _resized(cells: _Floats, shape: tuple[int, int], ties: Ties) -> FixedMap:
    coarse = torch.from_numpy(cells).view(1, 1, CELLS, CELLS)
    return FixedMap.of(F.interpolate(coarse, shape, mode="bilinear", align_corners=False)[0, 0], ties)
