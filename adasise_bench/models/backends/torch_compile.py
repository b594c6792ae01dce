"""The network compiled by ``torch.compile``, on a GPU also with CUDA graphs."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import nn

from adasise_bench.data.transforms import CAFFE, Preprocessing
from adasise_bench.models.backends.base import Backend, Forward
from adasise_bench.models.engine import BackendName
from adasise_bench.utils.precision import PrecisionName, arithmetic

_RECOMPILE_LIMIT = 64
"""Dynamo counts all networks of a process together: its own limit of 8 is soon reached."""


class TorchCompile(Backend):
    """Compiled in torch's default mode."""

    name: ClassVar[BackendName] = "torch-compile"
    _mode: ClassVar[Literal["default", "reduce-overhead"]] = "default"
    _first_calls: ClassVar[int] = 1
    """Calls before a shape runs at full speed: compile; then, for a CUDA graph, record it and replay it."""

    def __init__(self, module: nn.Module, device: torch.device, preprocessing: Preprocessing = CAFFE) -> None:
        super().__init__(module, device, preprocessing)
        self._compiled: Any = torch.compile(module, mode=self._mode, dynamic=False)

    def prepare(self, inputs: torch.Tensor, precision: PrecisionName) -> Forward:
        """Compile for the shape of ``inputs``, so that later calls take their usual time.

        Raises:
            Exception: of any kind, where the compiler fails. At its limit Dynamo would run the module itself
                without a word, and is told to fail.
        """
        from torch._dynamo import config

        with config.patch(recompile_limit=_RECOMPILE_LIMIT, fail_on_recompile_limit_hit=True):
            for _ in range(self._first_calls):
                self._passed(inputs, precision)
        return lambda inputs: self._passed(inputs, precision)

    def _passed(self, inputs: torch.Tensor, precision: PrecisionName) -> torch.Tensor:
        with arithmetic(precision, self._device):
            outputs: torch.Tensor = self._compiled(inputs)
        return outputs

    def release(self) -> None:
        """Let torch forget what it compiled, and what it compiled for other networks of the process too."""
        torch.compiler.reset()


class TorchCompileGraphs(TorchCompile):
    """Compiled, and replayed as a CUDA graph, which saves the launches of the kernels.

    ``max-autotune`` is left out: it times many kernels for every convolution, and can take longer than a run.
    """

    name: ClassVar[BackendName] = "torch-compile-graphs"
    _mode = "reduce-overhead"
    _first_calls = 3

    @classmethod
    def refusal(cls, device: torch.device, precision: PrecisionName) -> str:
        """Only a GPU has CUDA graphs."""
        if device.type != "cuda":
            return "there are CUDA graphs on a GPU only; use torch-compile"
        return super().refusal(device, precision)

    def _passed(self, inputs: torch.Tensor, precision: PrecisionName) -> torch.Tensor:
        # The graph writes into the same memory each time, and would change what the caller keeps.
        return super()._passed(inputs, precision).clone()
