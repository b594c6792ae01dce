"""Accuracy against scikit-learn, against plain loops in fractions, and against what can be told by hand."""

from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score

from adasise_bench.metrics.accuracy import ResampledAccuracy, accuracy, average_precision, ranks


def drawn(seed: int, *, ties: bool, pictures: int = 60) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    scores = rng.random(pictures, np.float32)
    relevant = rng.random(pictures) < 0.05 + 0.6 * scores
    relevant[0] = True
    return (scores.round(1) if ties else scores), relevant


def eleven_points(scores: NDArray[np.float32], relevant: NDArray[np.bool_]) -> Fraction:
    """VOC 2007's sentence, word by word, in exact arithmetic."""
    curve = []
    for cut in sorted(set(scores.tolist()), reverse=True):
        taken = [bool(flag) for score, flag in zip(scores.tolist(), relevant, strict=True) if score >= cut]
        curve.append((Fraction(sum(taken), int(relevant.sum())), Fraction(sum(taken), len(taken))))
    return (
        sum(
            (
                max(precision for recall, precision in curve if recall >= Fraction(tenth, 10))
                for tenth in range(11)
            ),
            Fraction(0),
        )
        / 11
    )


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_scikit_learns_and_vocs(seed: int, ties: bool) -> None:
    scores, relevant = drawn(seed, ties=ties)
    found = average_precision(scores, relevant)
    assert found.area == pytest.approx(average_precision_score(relevant, scores), abs=1e-12)
    assert found.eleven_points == pytest.approx(float(eleven_points(scores, relevant)), abs=1e-12)


def test_a_recall_of_three_tenths_is_reached_by_three_of_ten() -> None:
    """In floats 3 * 0.1 > 3 / 10, so that the fourth point would be taken at a later, lower precision."""
    relevant = np.array([True] * 3 + [False] * 100 + [True] * 7)
    scores = np.linspace(1, 0, len(relevant))
    later = 10 / 110
    assert average_precision(scores, relevant).eleven_points == pytest.approx((4 + 7 * later) / 11, abs=1e-12)


def test_best_and_worst_orders() -> None:
    relevant = np.array([True, True, False, False])
    best = average_precision(np.array([4.0, 3.0, 2.0, 1.0]), relevant)
    assert best == (1.0, 1.0)
    worst = average_precision(np.array([1.0, 2.0, 3.0, 4.0]), relevant)
    assert worst.area == pytest.approx((1 / 3 + 2 / 4) / 2)
    assert average_precision(np.zeros(4), relevant) == (0.5, 0.5)


def test_ranks_count_the_higher_scores() -> None:
    scores = np.array([[0.1, 0.7, 0.1, 0.1], [-3.0, 2.0, 5.0, -7.0]])
    assert ranks(scores).tolist() == [[2, 1, 2, 2], [3, 2, 1, 4]]


@pytest.mark.parametrize("seed", range(5))
def test_accuracy_is_what_plain_loops_find(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((40, 8), np.float32)
    annotated = rng.random((40, 8)) < 0.15 + 0.3 * scores
    annotated[np.arange(40), rng.integers(0, 7, 40)] = True
    annotated[:, 7] = False  # a class that does not occur
    difficult = annotated & (rng.random((40, 8)) < 0.2)
    found = accuracy(scores, annotated, difficult)
    areas = []
    for number in range(7):
        kept = [row for row in range(40) if not difficult[row, number]]
        areas.append(average_precision_score(annotated[kept, number], scores[kept, number]))
    assert found.map_area == pytest.approx(100 * sum(areas) / 7)
    first, few, pairs = 0, 0, []
    for row in range(40):
        order = sorted(range(8), key=lambda number: -scores[row, number])
        true = [number for number in range(8) if annotated[row, number]]
        first += order[0] in true
        few += any(number in order[:5] for number in true)
        pairs += [number in order[:5] for number in true]
    assert found.top1 == pytest.approx(100 * first / 40)
    assert found.top5 == pytest.approx(100 * few / 40)
    assert found.top5_pairs == pytest.approx(100 * sum(pairs) / len(pairs))
    assert (found.pictures, found.pairs, found.classes) == (40, len(pairs), 7)


def test_no_average_precision_where_every_object_is_difficult() -> None:
    flags = np.array([[True, False]])
    found = accuracy(np.array([[0.2, 0.8]]), flags, flags)
    assert (found.map_eleven_points, found.map_area, found.classes) == (None, None, 0)
    assert (found.top1, found.top5) == (0.0, 100.0)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_a_resample_has_the_accuracy_of_its_pictures_written_out(seed: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.random((30, 7)).round(1 if ties else 9)
    annotated = rng.random((30, 7)) < 0.05 + 0.3 * scores
    annotated[np.arange(30), rng.integers(0, 6, 30)] = True
    annotated[:, 6] = False
    annotated[3, 6] = True  # a class of one picture, which some resamples lack
    difficult = annotated & (rng.random((30, 7)) < 0.2)
    drawn = rng.integers(0, 30, (12, 30))
    times = np.stack([np.bincount(row, minlength=30) for row in drawn]).astype(float)
    resampled = ResampledAccuracy(scores, annotated, difficult)
    for row, shares in zip(drawn, resampled.shares(times).T, strict=True):
        whole = accuracy(scores[row], annotated[row], difficult[row])
        assert shares.tolist() == pytest.approx([getattr(whole, name) for name in resampled.NAMES])
    once = resampled.shares(np.ones((1, 30)))[:, 0]
    whole = accuracy(scores, annotated, difficult)
    assert once.tolist() == pytest.approx([getattr(whole, name) for name in resampled.NAMES])
