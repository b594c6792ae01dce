"""Passes any number of inputs through a network in whole batches of one and the same shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

import torch

from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils import step_watch

_Batch = TypeVar("_Batch")


def filled_batch(
    classifier: Classifier, example: torch.Tensor, count: int, fill: Callable[[torch.Tensor], object]
) -> torch.Tensor:
    """A whole batch of inputs, of which the first ``count`` are filled, and the others are zero.

    As every pass through the network then has the same shape, what it gives for one input does not depend on
    how many others there are.

    Args:
        classifier: says how many inputs a whole batch has, and in which layout.
        example: (1, K, h, w), of which every input has shape, dtype and device.
        count: how many inputs there are, not more than a whole batch.
        fill: writes into the (``count``, K, h, w) that it is given.
    """
    inputs = classifier.empty_batch(example)
    fill(inputs[:count])
    inputs[count:] = 0
    return inputs


def in_batches(
    classifier: Classifier,
    total: int,
    work: Callable[[int, int], _Batch],
    most: int | None = None,
    batch_size: BatchSize | None = None,
) -> Iterator[tuple[slice, _Batch]]:
    """Do some work on items 0 to ``total`` in batches that fit in memory.

    When memory runs out, the batch is halved. Results that were already yielded stay valid. Whoever watches
    is told of every batch, see :mod:`~adasise_bench.utils.step_watch`.

    Args:
        classifier: says how many items make a batch.
        total: number of items.
        work: takes the number of the first item and the number after the last one. Its result is not
            ``None``.
        most: the most items in a batch, where a whole batch of the network would be too large.
        batch_size: how many items make a batch; by default the classifier's number for forward passes.

    Yields:
        The numbers of the items, in order, and the result of ``work``.
    """
    done = 0
    batch_size = batch_size or classifier.batch_size
    while done < total:
        size = batch_size.value
        stop = min(total, done + (size if most is None else min(most, size)))
        batch = batch_size.attempt(partial(work, done, stop))
        if batch is not None:
            yield slice(done, stop), batch
            done = stop
            step_watch.tell(done, total)
