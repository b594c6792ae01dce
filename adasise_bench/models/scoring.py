"""Passes any number of inputs through a network in whole batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier

_Batch = TypeVar("_Batch")


def in_batches(
    classifier: Classifier,
    total: int,
    work: Callable[[int, int], _Batch],
    most: int | None = None,
    batch_size: BatchSize | None = None,
) -> Iterator[tuple[slice, _Batch]]:
    """Do some work on items 0 to ``total`` in batches that fit in memory.

    When memory runs out, the batch is halved. Results that were already yielded stay valid.

    Args:
        classifier: says how many items make a batch; its ``watch`` is told after every one.
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
            if classifier.watch:
                classifier.watch(done, total)
