"""What a run is expected to ask of a network, on which the fastest way to run it depends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import mean
from typing import NamedTuple

import torch

from adasise_bench.models.backends.gradient_graph import Objective

_FORWARDS_PER_GRADIENT = 3
"""A forward pass, and a gradient of the input, which has about twice as many operations."""


class GradientPasses(NamedTuple):
    """The gradients of inputs that one explanation takes from :meth:`.Classifier.input_gradient`.

    Attributes:
        inputs: how many inputs are differentiated.
        at_once: how many of them in one pass.
        objective: what is differentiated.
    """

    inputs: int
    at_once: int
    objective: Objective

    def example(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, Objective]:
        """Arguments of one pass: inputs with the channels last in memory, classes, and the objective.

        Args:
            image: (1, 3, H, W) network input.
        """
        inputs = image.repeat(self.at_once, 1, 1, 1).contiguous(memory_format=torch.channels_last)
        return inputs, torch.zeros(self.at_once, dtype=torch.int64, device=image.device), self.objective


@dataclass(frozen=True)
class Workload:
    """How much a run is expected to use one network; by default nothing is known.

    Attributes:
        counts: for each method and metric, how many inputs one explanation scores. Every number in a range is
            equally likely. No range is empty or contains 0.
        explanations: number of explanations of each method.
        gradients: the passes with gradients of one explanation, for each method that has some.
    """

    counts: tuple[range, ...] = ()
    explanations: int = 0
    gradients: tuple[GradientPasses, ...] = ()

    @property
    def forwards(self) -> float:
        """Inputs that the whole run scores, on average."""
        return self.explanations * sum(mean(counts) for counts in self.counts)

    @property
    def passes(self) -> float:
        """The same with the passes with gradients, each counted as the forward passes that last as long."""
        differentiated = self.explanations * sum(passes.inputs for passes in self.gradients)
        return self.forwards + _FORWARDS_PER_GRADIENT * differentiated

    def padding(self, batch_size: int) -> float:
        """How many inputs pass through the network for each input that is scored; at least 1.

        All batches of an explanation have the same shape, so that a score does not depend on how many others
        are computed. The last batch is therefore filled up, on average by half a batch where the count
        varies.

        Args:
            batch_size: inputs per forward pass.

        Example:
            >>> from adasise_bench.models.workload import Workload
            >>> Workload((range(6, 7),)).padding(4)  # 6 inputs pass as two batches of 4
            1.3333333333333333
        """
        if not self.counts:
            return 1.0
        passed = sum(mean(ceil(n / batch_size) * batch_size for n in counts) for counts in self.counts)
        return passed / sum(mean(counts) for counts in self.counts)

    def even_splits(self, batch_size: int) -> Sequence[int]:
        """Smaller batch sizes that need as many passes as ``batch_size`` for the largest number of a count.

        Example:
            >>> from adasise_bench.models.workload import Workload
            >>> Workload((range(6, 7),)).even_splits(4)  # two batches of 3 hold 6 inputs as well
            [3]
        """
        most = [counts[-1] for counts in self.counts]
        return sorted({ceil(n / ceil(n / batch_size)) for n in most} - {batch_size})
