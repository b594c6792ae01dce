"""The plain batched forward pass, timed in turns with the explanations that are measured against it."""

from __future__ import annotations

import time
from statistics import median

import torch

from adasise_bench.models.classifier import Classifier
from adasise_bench.timing import synchronize

_LASTS_SECONDS = 10.0
_SPELL_SECONDS = 0.2


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


class Yardstick:
    """Seconds per input of the plain forward pass of one network, as fast as the machine is just now."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._shape: torch.Size | None = None
        self._measured_at = 0.0
        self._seconds = 0.0

    def seconds(self, image: torch.Tensor) -> float:
        """The median of a spell of batches; measured anew after 10 seconds, or for inputs of another shape.

        Args:
            image: (1, 3, H, W) network input.
        """
        if image.shape != self._shape or time.perf_counter() - self._measured_at > _LASTS_SECONDS:
            batch = self._classifier.batch_size
            spell = None
            while spell is None:
                spell = batch.attempt(lambda: batch_seconds(self._classifier, image, _SPELL_SECONDS))
            self._shape, self._seconds = image.shape, median(spell) / batch.value
            self._measured_at = time.perf_counter()
        return self._seconds
