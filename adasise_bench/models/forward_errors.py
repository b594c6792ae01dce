"""Turns any exception from the forward pass of a user's network into an error of one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.models.lost_device import is_lost_device
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import BenchError, ConfigError


def name_errors(module: nn.Module, where: str) -> nn.Module:
    """Make errors of the network's forward pass name the network, the size of the input and the line of code.

    Without this, an exception would end the run with a traceback, and ``sys.exit()`` in the forward pass
    would end it as if it had succeeded. Exceptions that the tool itself handles stay as they are: an
    interrupt from the keyboard, exhausted memory, a lost device, and an operation that torch cannot repeat in
    a deterministic run.

    Args:
        module: the network; its ``forward`` is replaced.
        where: the name of the network in messages.

    Returns:
        The same module.
    """
    module.forward = _NamedErrors(module.forward, where)
    return module


class _NamedErrors:
    """A forward pass whose errors are :class:`ConfigError`.

    It is an object and not a function: a copy of the network then has a copy of it, which calls the copied
        network.
    """

    def __init__(self, forward: Any, where: str) -> None:
        inner = forward._forward if isinstance(forward, _NamedErrors) else forward
        self._forward: Callable[..., Any] = inner
        self._where = where

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """The outputs of the network's own forward pass.

        Raises:
            ConfigError: the forward pass raises an exception.
        """
        if torch.compiler.is_compiling():
            return self._forward(*inputs, **options)
        try:
            return self._forward(*inputs, **options)
        except (BenchError, KeyboardInterrupt, MemoryError):
            raise
        except BaseException as error:
            if is_lost_device(error):
                raise
            if isinstance(error, RuntimeError) and (is_out_of_memory(error) or "deterministic" in str(error)):
                raise
            raise ConfigError(f"{self._where}: fails{_on(*inputs)}: {plugins.reason(error)}") from None


def _on(*inputs: Any) -> str:
    """The size of the input, if it is a batch of pictures."""
    if inputs and isinstance(inputs[0], torch.Tensor) and inputs[0].ndim == 4:
        return f" on an input of {inputs[0].shape[3]}x{inputs[0].shape[2]} px"
    return ""
