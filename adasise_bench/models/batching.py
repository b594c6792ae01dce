"""How many inputs pass through a network at once, and what happens when memory does not suffice."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

import torch

from adasise_bench.utils.errors import DeviceError, text_of

_Result = TypeVar("_Result")

_NO_MEMORY = re.compile(
    "|".join(
        [
            "out of memory",  # CUDA's own words, also where a CUDA graph is instantiated
            "can't allocate memory",  # torch on the CPU
            "std::bad_alloc",  # libraries of torch on the CPU
            "ALLOC_FAILED",  # CUDNN_STATUS_, CUBLAS_STATUS_, CUSOLVER_STATUS_, CUSPARSE_STATUS_, CUFFT_
            "_ALLOCATION_FAILED",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ and _HOST_, from cuDNN 9 on
        ]
    )
)
_PERHAPS_NO_MEMORY = re.compile(
    "|".join(
        [
            "nable to find an engine to execute this computation",  # cuDNN: no room for a workspace
            "CUDNN_STATUS_INTERNAL_ERROR",  # cuDNN where its handle or a kernel finds no room
            "(CUDNN|CUBLAS)_STATUS_NOT_INITIALIZED",  # where the library's handle finds no room
            "operation failed due to a previous error during capture",  # torch, within a CUDA graph
        ]
    )
)
"""What libraries say both when memory runs out and when they cannot do a thing at all.

A smaller batch is worth a try. With a single input left, the message must not speak of memory alone.
"""


class BatchSize:
    """The inputs per forward pass of one network on one device; shrinks when memory runs out, if it may.

    Args:
        value: the inputs at first.
        fixed: whether the value must stay.
        release: gives back memory that is held for batches of the old value, when it shrinks.
    """

    def __init__(self, value: int, *, fixed: bool = False, release: Callable[[], None] | None = None) -> None:
        self.value = value
        self._fixed, self._release = fixed, release

    @cached_property
    def with_gradients(self) -> BatchSize:
        """The inputs per pass with gradients, which shrink by themselves.

        Such a pass keeps the maps of all layers. That it does not fit must not make the forward passes of
        all methods smaller for the rest of a run.
        """
        return BatchSize(self.value, fixed=self._fixed)

    def attempt(self, work: Callable[[], _Result]) -> _Result | None:
        """Do some work; when memory runs out, halve the value and return ``None``.

        Raises:
            DeviceError: a single input does not fit, or a batch that must not shrink.
        """
        try:
            return work()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            doubt = _doubt(error)
        if self.value == 1:
            raise DeviceError(f"a single input does not fit in memory; use a smaller data.input_size{doubt}")
        if self._fixed:
            raise DeviceError(
                f"{self.value} inputs do not fit in memory, and a deterministic run keeps its batch size; "
                f"free memory, or set a smaller engine.batch_size and start anew{doubt}"
            )
        self.value //= 2
        if self._release is not None:
            self._release()
        torch.cuda.empty_cache()
        return None


@contextmanager
def torch_failures() -> Iterator[None]:
    """Turn what torch cannot do, and no smaller batch can mend, into an error of one line.

    Raises:
        DeviceError: memory ran out, or a deterministic run needs what torch cannot repeat.
    """
    try:
        yield
    except MemoryError as error:
        raise DeviceError(_out_of_memory(error)) from None
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise DeviceError(_out_of_memory(error)) from None
        if "deterministic" in text_of(error):
            raise DeviceError(f"deterministic: {text_of(error).split('.')[0]}") from None
        raise


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch, or a library below it, could not allocate, or may have failed for that reason.

    torch's own error type is only raised by its allocator; cuDNN, cuBLAS and the CUDA runtime allocate by
    themselves and say so in a plain ``RuntimeError``, as torch does on the CPU.
    """
    text = text_of(error)
    return (
        isinstance(error, torch.OutOfMemoryError)
        or _NO_MEMORY.search(text) is not None
        or _PERHAPS_NO_MEMORY.search(text) is not None
    )


def _out_of_memory(error: Exception) -> str:
    return f"out of memory; free some, or use a smaller data.input_size{_doubt(error)}"


def _doubt(error: Exception) -> str:
    """What else may be wrong, to be added to a message that speaks of memory; mostly empty."""
    text = text_of(error)
    certain = isinstance(error, torch.OutOfMemoryError | MemoryError) or _NO_MEMORY.search(text)
    if certain:
        return ""
    first_line = text.strip().partition("\n")[0]
    return f" (or, if memory is free, this device cannot do it in this precision; it says: {first_line})"
