"""Gradients of a network's inputs by a backend, or by torch where the backend cannot or may not."""

from __future__ import annotations

from collections.abc import Hashable

import torch

from adasise_bench.data.transforms import Preprocessing
from adasise_bench.models.backends.base import Backend, Gradient, is_channels_last
from adasise_bench.models.backends.gradient_graph import Objective
from adasise_bench.models.backends.probe import DeviationError, masked_noise
from adasise_bench.models.backends.torch import Torch
from adasise_bench.models.backends.whole_batches import reason_of, say
from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.utils.precision import PrecisionName

_AGREEING = 1e-3
"""Largest difference of gradients, as a share of their length, that is taken for rounding. Where rounding
moves a unit over the bend of a ReLU, a part of the gradient changes as a whole."""

_MOST_PREPARED = 4


class InputGradients:
    """A backend's gradients, prepared anew for each of the first few shapes of inputs, none beforehand.

    Each is held against torch's in fp32 before it is used. Inputs of further shapes are left to torch, and so
    is everything after the backend has failed or deviated, which is said in one line on stderr.

    Args:
        backend: what prepares the gradients.
        reference: torch's way through the same network.
        preprocessing: how pictures become the network's inputs.
        where: how messages name the network.

    Attributes:
        failed: whether the backend failed, so that it is not asked any more.
    """

    def __init__(self, backend: Backend, reference: Torch, preprocessing: Preprocessing, where: str) -> None:
        self.failed = False
        self._backend, self._reference, self._where = backend, reference, where
        self._preprocessing = preprocessing
        self._prepared: dict[Hashable, Gradient] = {}

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
        kind = inputs.shape, is_channels_last(inputs), objective, precision
        if not self.failed and (kind in self._prepared or len(self._prepared) < _MOST_PREPARED):
            try:
                if kind not in self._prepared:
                    self._prepared[kind] = self._checked(inputs, targets, objective, precision)
                return self._prepared[kind](inputs, targets)
            except Exception as error:  # foreign code can fail in any way, and torch runs without it
                if isinstance(error, RuntimeError) and is_out_of_memory(error):
                    raise
                told = reason_of(error)
            self.failed = True
            self.release()
            name = f"{self._where}: {self._backend.name}"
            say(f"{name} cannot compute its gradients: {told}; torch does instead")
        return self._reference.prepare_gradient(inputs, targets, objective, precision)(inputs, targets)

    def release(self) -> None:
        """Give back the memory of what was prepared; every shape is prepared anew when it comes again."""
        self._prepared.clear()

    def _checked(
        self, inputs: torch.Tensor, targets: torch.Tensor, objective: Objective, precision: PrecisionName
    ) -> Gradient:
        """The backend's gradient, which agrees with torch's in fp32.

        Raises:
            DeviationError: it does not.
            Exception: of any kind, where it cannot be prepared.
        """
        exact = self._backend.prepare_gradient(inputs, targets, objective, "fp32")
        probes = torch.empty_like(inputs).copy_(masked_noise(inputs.shape, self._preprocessing))
        expected = self._reference.prepare_gradient(probes, targets, objective, "fp32")(probes, targets)
        found = exact(probes, targets)
        if found.shape != expected.shape:
            raise DeviationError(f"they are {tuple(found.shape)}, torch's {tuple(expected.shape)}")
        difference, length = float((found - expected).norm()), float(expected.norm())
        if not difference <= _AGREEING * length:
            raise DeviationError(f"they differ from torch's by {difference / max(length, 1e-30):.1g}")
        if precision == "fp32":
            return exact
        return self._backend.prepare_gradient(inputs, targets, objective, precision)
