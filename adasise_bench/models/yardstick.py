"""The plain batched forward pass, timed in turns with the explanations that are measured against it."""

from __future__ import annotations

import time
from functools import partial
from statistics import median

import torch

from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import synchronize

_SPELL_SECONDS = 0.1
_SHARE = 0.05
"""Of a run's time, what timing the plain forward pass may take."""


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


class Yardstick:
    """The plain forward pass of one network, timed again and again between the explanations of a run.

    It takes at least two whole batches, some 1.5 seconds for a ResNet-50 on a CPU: little beside an
    explanation of a minute, but many times one Grad-CAM. It is therefore timed for the first picture of every
    size, and again just before a picture when all timings so far have taken no more than a twentieth of the
    time since the first began. Otherwise the last one of that size stands.
    """

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._known: dict[tuple[torch.Size, int], float] = {}
        self._spent = 0.0
        self._began = float("inf")

    def seconds(self, image: torch.Tensor) -> float:
        """Seconds per input of the plain batched forward pass.

        Args:
            image: (1, 3, H, W) network input that fills the batch.

        Raises:
            DeviceError: a single input does not fit in memory.
        """
        start = time.perf_counter()
        known = self._known.get(self._kind(image))
        if known is not None and self._spent > _SHARE * (start - self._began):
            return known
        self._began = min(self._began, start)
        seconds = plain_forward_seconds(self._classifier, image)
        self._spent += time.perf_counter() - start
        self._known[self._kind(image)] = seconds
        return seconds

    def _kind(self, image: torch.Tensor) -> tuple[torch.Size, int]:
        """What a timing holds for: the batch's shape, which changes when memory runs out."""
        return image.shape, self._classifier.batch_size.value
