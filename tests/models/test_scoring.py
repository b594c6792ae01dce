"""Whole batches of one shape, filled up with zeros."""

from __future__ import annotations

import pytest
import torch

from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.scoring import filled_batch, in_batches


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_inputs_behind_those_that_are_filled_are_zero(
    tiny: Classifier, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(tiny.batch_size, "value", 4)
    monkeypatch.setattr(
        Classifier,
        "empty_batch",
        lambda self, example: example.new_full((self.batch_size.value, *example.shape[1:]), torch.nan),
    )
    example = torch.ones(1, 2, 5, 6, dtype=torch.float64)
    batch = filled_batch(tiny, example, count, lambda filled: filled.fill_(7))
    assert batch.shape == (4, 2, 5, 6)
    assert batch.dtype == torch.float64
    assert (batch[:count] == 7).all()
    assert (batch[count:] == 0).all()


def test_items_come_in_order_and_once(tiny: Classifier) -> None:
    parts = list(in_batches(tiny, 10, lambda start, stop: (start, stop), batch_size=BatchSize(4)))
    assert parts == [(slice(0, 4), (0, 4)), (slice(4, 8), (4, 8)), (slice(8, 10), (8, 10))]
    few = list(in_batches(tiny, 5, lambda start, stop: stop, most=3, batch_size=BatchSize(4)))
    assert few == [(slice(0, 3), 3), (slice(3, 5), 5)]
