"""The network converted for OpenVINO, which passes whole batches faster than torch on most CPUs."""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from adasise_bench.models.backends.base import Backend, Forward, Gradient, is_channels_last
from adasise_bench.models.backends.gradient_graph import Objective, gradient_graph
from adasise_bench.models.backends.large_product import cut_at_large_product, multiplied
from adasise_bench.models.backends.quantisation import nncf_version, quantised
from adasise_bench.models.engine import BackendName
from adasise_bench.utils.precision import PrecisionName

_PRECISIONS: Mapping[PrecisionName, str] = {"fp32": "f32", "tf32": "f32", "bf16": "bf16", "int8": "bf16"}
"""OpenVINO's names. A CPU computes float32 products in full, whether TF32 is allowed or not; in int8, what is
not 8 bits long is bf16."""


class OpenVino(Backend):
    """Converted from what ``torch.export`` reads, anew for every shape, and run by OpenVINO's CPU plugin.

    ``torch.export`` refuses a network whose way depends on its inputs, where a trace would keep to one way.
    Weights are shared with torch until OpenVINO has arranged its own copy, and in fp32 those of a very large
    matrix product are never copied.
    """

    name: ClassVar[BackendName] = "openvino"
    quick: ClassVar[bool] = True
    differentiates: ClassVar[bool] = True

    @classmethod
    def version(cls) -> str | None:
        """OpenVINO's version, as the installed package says."""
        try:
            return version("openvino")
        except PackageNotFoundError:
            return None

    @classmethod
    def refusal(cls, device: torch.device, precision: PrecisionName) -> str:
        """Not installed, another device than a CPU, or a precision that it does not compute in."""
        if cls.version() is None:
            return "OpenVINO is not installed: pip install 'adasise-bench[openvino]'"
        if device.type != "cpu":
            return "runs on a CPU only: set device to cpu"
        if precision not in _PRECISIONS:
            return f"computes in {', '.join(_PRECISIONS)}, not in {precision}: set another precision"
        if precision == "int8" and nncf_version() is None:
            return "int8 needs NNCF, which is not installed: pip install 'adasise-bench[int8]'"
        return ""

    @classmethod
    def libraries(cls, precision: PrecisionName) -> str | None:
        """OpenVINO's version, and NNCF's where it chooses the integers."""
        return f"{cls.version()}, NNCF {nncf_version()}" if precision == "int8" else cls.version()

    def prepare(self, inputs: torch.Tensor, precision: PrecisionName) -> Forward:
        """Convert and compile the network for the shape and memory layout of ``inputs``."""
        model = _converted(self._module, inputs)
        if precision == "int8":
            with _silence():
                model = quantised(model, inputs.shape, self._preprocessing)
        channels_last = is_channels_last(inputs)
        with _silence():  # torch warns that the weights must not be written to
            cut = cut_at_large_product(model) if _PRECISIONS[precision] == "f32" else None
        if cut is None:
            infer = _compiled(_in_layout(model, channels_last), precision)
            return lambda inputs: infer(_as_read(inputs, channels_last))
        weights = cut.weights
        before, after = (
            _compiled(_in_layout(cut.before, channels_last), precision),
            _compiled(cut.after, precision),
        )
        return lambda inputs: after(multiplied(before(_as_read(inputs, channels_last)), weights))

    def prepare_gradient(
        self, inputs: torch.Tensor, targets: torch.Tensor, objective: Objective, precision: PrecisionName
    ) -> Gradient:
        """Convert and compile forward pass and gradient as one graph; see :mod:`.gradient_graph`."""
        with _silence():
            graph = gradient_graph(self._module, inputs, targets, objective)
        channels_last = is_channels_last(inputs)
        model = _in_layout(_converted(graph, inputs.contiguous(), targets), channels_last, output_too=True)
        infer = _compiled(model, precision)

        def gradient(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            found = infer(_as_read(inputs, channels_last), targets)
            return found.permute(0, 3, 1, 2) if channels_last else found

        return gradient


def _as_read(inputs: torch.Tensor, channels_last: bool) -> torch.Tensor:
    """A view of the inputs whose axes are in the order of memory."""
    return inputs.detach().permute(0, 2, 3, 1) if channels_last else inputs.detach()


def _converted(module: nn.Module, *examples: torch.Tensor) -> Any:
    """OpenVINO's model of a module for arguments of the shapes of ``examples``, with one output.

    The parts of ``openvino.convert_model`` that are needed: as a whole, it reports its use to its makers.
    """
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.fx_decoder import TorchFXPythonDecoder

    with _silence(), torch.no_grad():
        with redirect_stderr(io.StringIO()):  # torch prints the graph so far where it gives up
            program = torch.export.export(_Called(module), examples, strict=False)
        frontend = FrontEndManager().load_by_framework("pytorch")
        decoder = TorchFXPythonDecoder.from_exported_program(program, dynamic_shapes=False)
        model = frontend.convert(frontend.load(decoder))
    model.reshape({number: list(one.shape) for number, one in enumerate(examples)})
    if len(model.outputs) != 1:
        raise ValueError(f"{len(model.outputs)} outputs after conversion")
    return model


class _Called(nn.Module):
    """A module behind a plain forward pass.

    ``torch.export`` reads the code of the forward pass that it is given. Somebody else's network may have an
    object there, as one whose errors are named has.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self._module = module

    def forward(self, *inputs: torch.Tensor) -> Any:
        return self._module(*inputs)


def _in_layout(model: Any, channels_last: bool, *, output_too: bool = False) -> Any:
    """The model with its pictures, and perhaps its output, channels last in memory where this is wanted."""
    from openvino import Layout
    from openvino.preprocess import PrePostProcessor

    if not channels_last:
        return model
    steps = PrePostProcessor(model)
    for side in (steps.input(0), steps.output(0)) if output_too else (steps.input(0),):
        side.tensor().set_layout(Layout("NHWC"))
        side.model().set_layout(Layout("NCHW"))
    return steps.build()


def _compiled(model: Any, precision: PrecisionName) -> Callable[..., torch.Tensor]:
    """A function of the model's inputs that gives its output, in memory of its own."""
    settings = {
        "INFERENCE_PRECISION_HINT": _PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,  # several workers would all be bound to the same cores
    }
    request = _core().compile_model(model, "CPU", settings).create_infer_request()
    owner = os.getpid()

    def infer(*inputs: torch.Tensor) -> torch.Tensor:
        if os.getpid() != owner:
            raise RuntimeError("its threads do not live on in a forked process")
        # The outputs' memory is the request's, and is written again the next time.
        seen = {number: one.numpy() for number, one in enumerate(inputs)}
        found = request.infer(seen, share_inputs=True, share_outputs=True)
        return torch.from_numpy(np.array(found[0]))

    return infer


@contextmanager
def _silence() -> Iterator[None]:
    """Torch and OpenVINO warn of what they will change, and log what they do not know of each other."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@cache
def _core() -> Any:
    from openvino import Core

    return Core()
