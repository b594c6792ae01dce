"""The plain batched forward pass, timed in turns with the explanations that are measured against it."""

from __future__ import annotations

import time
from functools import partial
from statistics import median

import torch

from adasise_bench.models.classifier import Classifier
from adasise_bench.timing import synchronize

_SPELL_SECONDS = 0.1


def batch_seconds(classifier: Classifier, image: torch.Tensor, least: float) -> list[float]:
    """Seconds of whole batches through the scoring pass, after one that is discarded.

    Args:
        classifier: the network, run as its engine says.
        image: (1, 3, H, W) network input that fills the batch.
        least: seconds that the batches take in all; there is at least one.
    """
    inputs = classifier.empty_batch(image).copy_(image)
    seconds: list[float] = []
    while len(seconds) < 2 or sum(seconds[1:]) < least:
        synchronize(classifier.device)
        start = time.perf_counter()
        classifier.scores(inputs)
        synchronize(classifier.device)
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def plain_forward_seconds(classifier: Classifier, image: torch.Tensor) -> float:
    """Seconds per input of the plain batched forward pass, as fast as the machine is just now.

    The median of the batches of a tenth of a second; the batch is halved for good when memory runs out.

    Args:
        classifier: the network, run as its engine says.
        image: (1, 3, H, W) network input that fills the batch.
    """
    batch = classifier.batch_size
    spell = None
    while spell is None:
        spell = batch.attempt(partial(batch_seconds, classifier, image, _SPELL_SECONDS))
    return median(spell) / batch.value
