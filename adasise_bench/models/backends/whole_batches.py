"""Raw outputs of whole batches by a backend, or by torch where the backend cannot or may not."""

from __future__ import annotations

from typing import ClassVar

import torch

from adasise_bench.models.backends.base import Backend, Forward, is_channels_last
from adasise_bench.models.backends.checked_passes import CheckedPasses
from adasise_bench.models.backends.probe import Probe
from adasise_bench.models.backends.torch import Torch
from adasise_bench.utils.precision import PrecisionName

_PARTS = 8


class WholeBatches(CheckedPasses[Forward]):
    """A backend's forward passes; see :class:`.CheckedPasses`.

    Args:
        backend, reference, precision, where: as in :class:`.CheckedPasses`.
        probe: finds out whether a forward pass is torch's.
    """

    _cannot: ClassVar[str] = "run it"

    def __init__(
        self, backend: Backend, reference: Torch, precision: PrecisionName, where: str, probe: Probe
    ) -> None:
        super().__init__(backend, reference, precision, where)
        self._probe = probe

    def __call__(self, inputs: torch.Tensor, precision: PrecisionName) -> torch.Tensor:
        """Raw outputs of the network, in memory of their own.

        Args:
            inputs: (N, 3, H, W) network inputs.
            precision: arithmetic of the pass.

        Raises:
            RuntimeError: memory ran out, or the network itself fails.
        """
        kind = inputs.shape, is_channels_last(inputs)
        return self._passed(kind, precision, lambda backend, name: backend.prepare(inputs, name), inputs)

    def _refuse(
        self, found: Forward, by_torch: Forward, rounded: Forward | None, *arguments: torch.Tensor
    ) -> None:
        coarse = None if rounded is None else _in_parts(rounded)
        self._probe.refuse(found, _in_parts(by_torch), arguments[0], coarse)


def _in_parts(forward: Forward) -> Forward:
    """The forward pass of a batch, an eighth of it at a time.

    Torch's layer outputs for a whole batch would add to the peak of memory, while the backend holds its own.
    """

    def in_parts(inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([forward(part) for part in torch.split(inputs, -(-len(inputs) // _PARTS))])

    return in_parts
