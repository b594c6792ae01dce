"""How well a network classifies, from its scores of whole pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_FIRST_FEW = 5


class AveragePrecision(NamedTuple):
    """Average precision of one class, in two definitions, each in [0, 1].

    Attributes:
        eleven_points: VOC 2007's: the mean, over the recalls 0, 0.1, ..., 1, of the highest precision at that
            recall or a higher one (Everingham et al. 2010, section 4.2).
        area: the sum over the steps of the recall of the step times the precision after it, without
            interpolation, as scikit-learn's ``average_precision_score``.
    """

    eleven_points: float
    area: float


@dataclass(frozen=True)
class Accuracy:
    """How well a network classifies a set of pictures; shares are percent.

    Attributes:
        map_eleven_points, map_area: means of :class:`AveragePrecision` over the classes that occur; ``None``
            where none does.
        top1: pictures whose highest score is that of an annotated class.
        top5: pictures of which an annotated class is among the five highest scores.
        top5_pairs: (picture, annotated class) pairs whose class is among the five highest scores.
        pictures, pairs: how many there are.
        classes: how many classes the two means are taken over.
    """

    map_eleven_points: float | None
    map_area: float | None
    top1: float
    top5: float
    top5_pairs: float
    pictures: int
    pairs: int
    classes: int


def average_precision(scores: NDArray[np.floating], relevant: NDArray[np.bool_]) -> AveragePrecision:
    """Average precision of the order in which ``scores`` put the pictures. Equal scores are taken together.

    Args:
        scores: (N,) finite score of the class for each picture.
        relevant: (N,) bool, whether the picture shows the class; at least one does.

    >>> average_precision(np.array([0.9, 0.8, 0.1]), np.array([True, False, True])).area
    0.8333333333333333
    """
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    hits = np.cumsum(relevant[order])[ends]
    precision = hits / (ends + 1)
    total = int(hits[-1])
    area = float((np.diff(hits, prepend=0) * precision).sum() / total)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    # In whole numbers, for 0.1 has no exact float: the recall is at least k / 10 where 10 hits >= k total.
    reached = np.searchsorted(10 * hits, total * np.arange(11))
    return AveragePrecision(float(highest[reached].mean()), area)


def ranks(scores: NDArray[np.floating]) -> NDArray[np.int64]:
    """The place of every class of a picture, from 1; a class shares the best place of those equal to it.

    Args:
        scores: (N, C) scores of N pictures.

    Returns:
        (N, C) int64: one more than the number of classes with a higher score.
    """
    from scipy.stats import rankdata  # here, because it takes long to import

    return rankdata(-scores, "min", axis=1).astype(np.int64)


def accuracy(
    scores: NDArray[np.floating], annotated: NDArray[np.bool_], difficult: NDArray[np.bool_]
) -> Accuracy:
    """How well the scores of some pictures agree with what is annotated on them.

    As in VOC's classification task, a picture does not count for the average precision of a class whose
    objects on it are all "difficult". For the other numbers such a class is annotated like any other, for it
    is explained like any other.

    Args:
        scores: (N, C) finite scores Ψ of C classes for N pictures, N at least 1.
        annotated: (N, C) bool, at least one class a picture.
        difficult: (N, C) bool, the annotated classes whose objects are all difficult.
    """
    found = [
        average_precision(scores[counted, number], annotated[counted, number])
        for number, counted in enumerate(~difficult.T)
        if annotated[counted, number].any()
    ]
    places = ranks(scores)
    best = np.where(annotated, places, scores.shape[1] + 1).min(axis=1)
    return Accuracy(
        100 * float(np.mean([one.eleven_points for one in found])) if found else None,
        100 * float(np.mean([one.area for one in found])) if found else None,
        100 * float((best == 1).mean()),
        100 * float((best <= _FIRST_FEW).mean()),
        100 * float((places[annotated] <= _FIRST_FEW).mean()),
        len(scores),
        int(annotated.sum()),
        len(found),
    )


class ResampledAccuracy:
    """The accuracy of sets in which each of some pictures occurs several times, or not at all.

    Args:
        scores, annotated, difficult: as for :func:`accuracy`.
    """

    NAMES = ("map_eleven_points", "map_area", "top1", "top5", "top5_pairs")
    """The fields of :class:`Accuracy` that :meth:`shares` gives, in this order."""

    def __init__(
        self, scores: NDArray[np.floating], annotated: NDArray[np.bool_], difficult: NDArray[np.bool_]
    ) -> None:
        self._classes = [
            _Ranking(scores[:, number], annotated[:, number], counted)
            for number, counted in enumerate(~difficult.T)
            if annotated[counted, number].any()
        ]
        places = ranks(scores)
        best = np.where(annotated, places, scores.shape[1] + 1).min(axis=1)
        few = annotated & (places <= _FIRST_FEW)
        self._of_pictures = np.stack(
            [best == 1, best <= _FIRST_FEW, few.sum(axis=1), annotated.sum(axis=1)]
        ).astype(float)

    def shares(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Percent by name and set, (5, R); NaN where no class occurs in a set.

        Args:
            times: (R, N) how often each of N pictures is in each of R sets.
        """
        first, few, pairs_few, pairs = self._of_pictures @ times.T
        pictures = times.sum(axis=1)
        of_classes = [ranking.average_precision(times) for ranking in self._classes]
        shares = np.full((len(self.NAMES), len(times)), np.nan)
        if of_classes:
            occurring = np.isfinite(of_classes).sum(axis=0)
            with np.errstate(invalid="ignore"):
                shares[:2] = np.nansum(of_classes, axis=0) / occurring
        shares[2:] = first / pictures, few / pictures, pairs_few / pairs
        return 100 * shares


class _Ranking:
    """The order of the pictures by the score of one class, cut behind every score that a relevant one has."""

    def __init__(
        self, scores: NDArray[np.floating], relevant: NDArray[np.bool_], counted: NDArray[np.bool_]
    ) -> None:
        numbers = np.flatnonzero(counted)
        self._order = numbers[np.argsort(-scores[numbers], kind="stable")]
        ranked, self._relevant = scores[self._order], relevant[self._order]
        # Precision is looked at only where the recall grows, which is behind each score of a relevant one.
        cuts = np.searchsorted(-ranked, np.unique(-ranked[self._relevant]), side="right")
        self._starts = np.append(0, cuts[:-1])
        self._stop = cuts[-1]

    def average_precision(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """:func:`average_precision` of each set, (2, R); NaN for sets without a relevant picture."""
        drawn = times[:, self._order[: self._stop]]
        hits = np.add.reduceat(drawn * self._relevant[: self._stop], self._starts, axis=1).cumsum(axis=1)
        seen = np.add.reduceat(drawn, self._starts, axis=1).cumsum(axis=1)
        precision = hits / np.maximum(seen, 1)
        total = hits[:, -1:]
        area = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1) / np.maximum(total[:, 0], 1)
        highest = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        reached = [(10 * hits >= tenth * total).argmax(axis=1) for tenth in range(11)]
        eleven = np.take_along_axis(highest, np.stack(reached, axis=1), axis=1).mean(axis=1)
        return np.where(total[:, 0] > 0, np.stack([eleven, area]), np.nan)
