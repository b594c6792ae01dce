"""Whole batches through a network by a backend, or by torch where the backend cannot or may not."""

from __future__ import annotations

import sys

import torch
from tqdm import tqdm

from adasise_bench.models.backends.base import Backend, Forward, is_channels_last
from adasise_bench.models.backends.probe import DeviationError, Probe
from adasise_bench.models.backends.torch import Torch
from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.utils.errors import text_of
from adasise_bench.utils.messages import printable
from adasise_bench.utils.precision import PrecisionName

_MOST_PREPARED = 4
"""Each shape takes up to minutes to prepare, and memory of its own."""

_LONGEST_REASON = 200

_Kind = tuple[torch.Size, bool, PrecisionName]


class WholeBatches:
    """A backend's forward passes, prepared anew for each of the first few shapes of inputs, none beforehand.

    Each is held against torch before it is used. Inputs of further shapes pass through torch, and so does
    everything after the backend has failed or deviated; either is said once, in one line on stderr.

    Args:
        backend: what prepares the forward passes.
        reference: torch's way through the same network.
        probe: finds out whether a forward pass is torch's.
        where: how messages name the network.

    Attributes:
        failed: whether the backend failed, so that it is not asked any more.
    """

    def __init__(self, backend: Backend, reference: Torch, probe: Probe, where: str) -> None:
        self.failed = False
        self._backend, self._reference, self._probe, self._where = backend, reference, probe, where
        self._prepared: dict[_Kind, Forward] = {}
        self._refused = False

    def __call__(self, inputs: torch.Tensor, precision: PrecisionName) -> torch.Tensor:
        """Raw outputs of the network, in memory of their own.

        Args:
            inputs: (N, 3, H, W) network inputs.
            precision: arithmetic of the pass.

        Raises:
            RuntimeError: memory ran out, or the network itself fails.
        """
        kind = inputs.shape, is_channels_last(inputs), precision
        if self._admits(kind):
            try:
                return self._forward(kind, inputs)(inputs)
            except Exception as error:  # foreign code can fail in any way, and torch runs without it
                if isinstance(error, RuntimeError) and is_out_of_memory(error):
                    raise
                reason = reason_of(error)
            self.failed = True
            self.release()
            say(f"{self._where}: {self._backend.name} cannot run it: {reason}; torch does instead")
        return self._reference.in_precision(precision)(inputs)

    def release(self) -> None:
        """Give back the memory of what was prepared; every shape is prepared anew when it comes again."""
        self._prepared.clear()
        self._backend.release()

    def _admits(self, kind: _Kind) -> bool:
        """Whether there is a forward pass for such inputs, or still can be."""
        if self.failed or kind in self._prepared:
            return not self.failed
        shapes = {known[:2] for known in self._prepared}
        if kind[:2] in shapes or len(shapes) < _MOST_PREPARED:
            return True
        if not self._refused:
            self._refused = True
            say(
                f"{self._where}: {self._backend.name} is prepared for {_MOST_PREPARED} shapes of inputs; "
                "torch runs the others (data.resize=stretch gives all pictures one shape)"
            )
        return False

    def _forward(self, kind: _Kind, inputs: torch.Tensor) -> Forward:
        """The forward pass for such inputs, which agrees with torch in fp32.

        Raises:
            DeviationError: it does not.
            Exception: of any kind, where it cannot be prepared.
        """
        if kind not in self._prepared:
            shape, channels_last, precision = kind
            exact: _Kind = shape, channels_last, "fp32"
            if exact not in self._prepared:
                forward = self._backend.prepare(inputs, "fp32")
                self._probe.refuse(forward, inputs)
                # Kept, because samples of the masks, and some masks, are scored in fp32 as well.
                self._prepared[exact] = forward
            if precision != "fp32":
                self._prepared[kind] = self._backend.prepare(inputs, precision)
        return self._prepared[kind]


def reason_of(error: Exception) -> str:
    """The first line of what went wrong; a deviation needs no name of its own."""
    told = next(iter(text_of(error).strip().splitlines()), "")
    named = told if isinstance(error, DeviationError) else f"{type(error).__name__}: {told}"
    return printable(named)[:_LONGEST_REASON]


def say(line: str) -> None:
    """Print one line on stderr, above a progress bar."""
    tqdm.write(line, file=sys.stderr)
