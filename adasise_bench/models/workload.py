"""How many inputs a run is expected to score: what the fastest way to run a network depends on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import mean


@dataclass(frozen=True)
class Workload:
    """What a run is expected to ask of one network's scoring pass; by default nothing is known.

    Attributes:
        counts: for each method and measure, how many inputs one explanation scores: every number in the
            range is equally likely. No range is empty, or has a zero in it.
        explanations: how many explanations of each method there are.
    """

    counts: tuple[range, ...] = ()
    explanations: int = 0

    @property
    def forwards(self) -> float:
        """Inputs that the whole run scores, on average."""
        return self.explanations * sum(mean(counts) for counts in self.counts)

    def padding(self, batch_size: int) -> float:
        """How many inputs pass for each input that is scored, at least 1.

        All batches of an explanation have one shape, so that a score does not depend on how many others are
        computed. The last is therefore filled up, on average by half a batch where the count varies.

        Args:
            batch_size: inputs per forward pass.
        """
        if not self.counts:
            return 1.0
        passed = sum(mean(ceil(n / batch_size) * batch_size for n in counts) for counts in self.counts)
        return passed / sum(mean(counts) for counts in self.counts)

    def even_splits(self, batch_size: int) -> Sequence[int]:
        """Smaller batch sizes that take as many passes as ``batch_size`` for the most inputs of a count."""
        most = [counts[-1] for counts in self.counts]
        return sorted({ceil(n / ceil(n / batch_size)) for n in most} - {batch_size})
