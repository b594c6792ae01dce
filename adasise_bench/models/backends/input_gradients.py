"""Gradients of a network's inputs by a backend, or by torch where the backend cannot or may not."""

from __future__ import annotations

from typing import ClassVar

import torch

from adasise_bench.data.transforms import Preprocessing
from adasise_bench.models.backends.base import Backend, Gradient, is_channels_last
from adasise_bench.models.backends.checked_passes import CheckedPasses
from adasise_bench.models.backends.gradient_graph import Objective
from adasise_bench.models.backends.probe import DeviationError, masked_noise
from adasise_bench.models.backends.torch import Torch
from adasise_bench.utils.precision import PrecisionName

_AGREEING = 1e-3
"""Largest difference of gradients, as a share of their length, that is taken for rounding. Where rounding
moves a unit over the bend of a ReLU, a part of the gradient changes as a whole."""


class InputGradients(CheckedPasses[Gradient]):
    """A backend's gradients of one objective; see :class:`.CheckedPasses`.

    Args:
        backend, reference, precision, where: as in :class:`.CheckedPasses`.
        preprocessing: how pictures become the network's inputs.
    """

    _cannot: ClassVar[str] = "compute its gradients"
    _exact_too: ClassVar[bool] = False

    def __init__(
        self,
        backend: Backend,
        reference: Torch,
        precision: PrecisionName,
        where: str,
        preprocessing: Preprocessing,
    ) -> None:
        super().__init__(backend, reference, precision, where)
        self._preprocessing = preprocessing

    def __call__(
        self, inputs: torch.Tensor, targets: torch.Tensor, objective: Objective, precision: PrecisionName
    ) -> torch.Tensor:
        """Gradient of an objective with respect to the inputs, (N, 3, H, W), in memory of its own.

        Args:
            inputs: (N, 3, H, W) float32 network inputs.
            targets: (N,) int64 classes.
            objective: what is differentiated; equal ones share what is prepared.
            precision: arithmetic of the passes.

        Raises:
            RuntimeError: memory ran out, or the network itself fails.
        """

        def prepare(backend: Backend, precision: PrecisionName) -> Gradient:
            return backend.prepare_gradient(inputs, targets, objective, precision)

        kind = inputs.shape, is_channels_last(inputs), objective
        return self._passed(kind, precision, prepare, inputs, targets)

    def _refuse(
        self, found: Gradient, by_torch: Gradient, rounded: Gradient | None, *arguments: torch.Tensor
    ) -> None:
        inputs, targets = arguments
        probes = torch.empty_like(inputs).copy_(masked_noise(inputs.shape, self._preprocessing))
        gradient, expected = found(probes, targets), by_torch(probes, targets)
        if gradient.shape != expected.shape:
            raise DeviationError(f"they are {tuple(gradient.shape)}, torch's {tuple(expected.shape)}")
        difference, length = float((gradient - expected).norm()), float(expected.norm())
        if not difference <= _AGREEING * length:
            raise DeviationError(f"they differ from torch's by {difference / max(length, 1e-30):.1g}")
