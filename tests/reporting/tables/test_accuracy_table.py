"""Intervals of a network's accuracy, against those that the tables' means get for the same values."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from adasise_bench.reporting.statistics import estimate_means
from adasise_bench.reporting.tables.accuracy import accuracy_table, estimate_accuracy


def test_top1_has_the_interval_of_a_mean_over_pictures_and_few_pictures_have_none() -> None:
    rng = np.random.default_rng(1)
    scores = rng.random((30, 8))
    annotated = rng.random((30, 8)) < 0.1 + 0.3 * scores
    annotated[np.arange(30), rng.integers(0, 8, 30)] = True
    difficult = np.zeros_like(annotated)
    estimate = estimate_accuracy(scores, annotated, difficult)
    right = [100.0 * annotated[row, scores[row].argmax()] for row in range(30)]
    mean = estimate_means(pd.DataFrame({"top1": right}, pd.Index(map(str, range(100, 130)), name="image_id")))
    assert estimate.intervals["top1"] == pytest.approx((mean["top1"].low, mean["top1"].high))
    for low, high in estimate.intervals.values():
        assert 0 <= low < high <= 100
    cells = {cell.metric: cell for row in accuracy_table("m", "d", estimate).rows for cell in row.cells}
    assert (cells["top1"].low, cells["top1"].high) == estimate.intervals["top1"]
    assert cells["map_area"].low < cells["map_area"].measured < cells["map_area"].high  # type: ignore[operator]
    assert not estimate_accuracy(scores[:9], annotated[:9], difficult[:9]).intervals
    everything = np.ones((12, 3), np.bool_)
    assert not estimate_accuracy(scores[:12, :3], everything, ~everything).intervals  # no resample differs
