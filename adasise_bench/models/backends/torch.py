"""The reference: the network as torch runs it, operation by operation."""

from __future__ import annotations

from typing import ClassVar

import torch

from adasise_bench.models.backends.base import Backend, Forward
from adasise_bench.models.engine import BackendName
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.precision import PrecisionName, arithmetic


class Torch(Backend):
    """The module itself; it needs no preparation, and takes inputs of any shape."""

    name: ClassVar[BackendName] = "torch"

    def prepare(self, inputs: torch.Tensor, precision: PrecisionName) -> Forward:
        """The module in the given arithmetic."""
        return self.in_precision(precision)

    def in_precision(self, precision: PrecisionName) -> Forward:
        """The module in the given arithmetic, for inputs of any shape.

        Raises:
            ConfigError: torch does not compute in it.
        """
        if refusal := self.refusal(self._device, precision):
            raise ConfigError(f"precision={precision}: {refusal}, or choose another precision")

        def forward(inputs: torch.Tensor) -> torch.Tensor:
            with arithmetic(precision, self._device):
                outputs: torch.Tensor = self._module(inputs)
            return outputs

        return forward
