"""What a backend is: it prepares forward passes for inputs of one shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import nn

from adasise_bench.data.transforms import CAFFE, Preprocessing
from adasise_bench.models.backends.gradient_graph import Objective
from adasise_bench.models.engine import BackendName
from adasise_bench.utils.precision import PrecisionName, arithmetic

Forward = Callable[[torch.Tensor], torch.Tensor]
"""A batch of (N, 3, H, W) float32 inputs to the network's raw outputs, (N, C) or (N, C, h, w)."""

Gradient = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(N, 3, H, W) float32 inputs and (N,) int64 classes to an objective's gradient, (N, 3, H, W) float32."""


class Backend:
    """Passes batches through one network on one device. Feature maps, and their gradients, are torch's alone.

    Args:
        module: the network in evaluation mode, on ``device``.
        device: where inputs and outputs are.
        preprocessing: how pictures become inputs, for a backend that must see some beforehand.

    Attributes:
        name: as environments and caches record it.
        quick: whether it is prepared in seconds, so that several batch sizes can be tried.
        differentiates: whether it computes gradients of inputs itself; otherwise torch does.
    """

    name: ClassVar[BackendName]
    quick: ClassVar[bool] = False
    differentiates: ClassVar[bool] = False

    def __init__(self, module: nn.Module, device: torch.device, preprocessing: Preprocessing = CAFFE) -> None:
        self._module, self._device, self._preprocessing = module, device, preprocessing

    @classmethod
    def version(cls) -> str | None:
        """Version of the library that computes; ``None`` where it is not installed. Nothing is imported."""
        return str(torch.__version__)

    @classmethod
    def refusal(cls, device: torch.device, precision: PrecisionName) -> str:
        """Why it cannot run here, with the cure: the beginning of a sentence; empty where it can."""
        return "torch does not compute in int8: set engine.backend to openvino" if precision == "int8" else ""

    @classmethod
    def libraries(cls, precision: PrecisionName) -> str | None:
        """The versions that decide numbers of a precision; ``None`` where something is not installed."""
        return cls.version()

    def prepare(self, inputs: torch.Tensor, precision: PrecisionName) -> Forward:
        """A forward pass for inputs of the shape and memory layout of ``inputs``; what is slow happens here.

        Args:
            inputs: (N, 3, H, W) float32; their values do not matter.
            precision: arithmetic of the pass.

        Returns:
            The forward pass; its outputs are in memory of their own.

        Raises:
            Exception: of any kind, where the network cannot be run so.
        """
        raise NotImplementedError  # pragma: no cover

    def prepare_gradient(
        self, inputs: torch.Tensor, targets: torch.Tensor, objective: Objective, precision: PrecisionName
    ) -> Gradient:
        """The gradient of an objective, for inputs of the shape and memory layout of ``inputs``.

        Args:
            inputs: (N, 3, H, W) float32; their values do not matter.
            targets: (N,) int64 classes; their values do not matter.
            objective: what is differentiated.
            precision: arithmetic of the passes, any but int8.

        Returns:
            The gradient, by torch's autograd where a backend knows no way of its own.

        Raises:
            Exception: of any kind, where the network cannot be run so.
        """

        def gradient(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad(), arithmetic(precision, self._device):
                inputs = inputs.detach().requires_grad_()
                return torch.autograd.grad(objective(self._module(inputs), targets), inputs)[0]

        return gradient

    def release(self) -> None:
        """Give back what is held beside the forward passes that were prepared."""


def is_channels_last(inputs: torch.Tensor) -> bool:
    """Whether a batch lies channels last in memory; what lies in neither order counts as contiguous."""
    return not inputs.is_contiguous() and inputs.is_contiguous(memory_format=torch.channels_last)
