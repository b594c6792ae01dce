"""How many inputs pass through a network at once, and what happens when memory runs out."""

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
"""Messages that mean either that memory ran out, or that the library cannot do the operation at all.

A smaller batch is tried in both cases. If a single input fails as well, the error must not name memory as its
only possible cause.
"""


class BatchSize:
    """How many inputs a forward pass of one network has on one device. It shrinks when memory runs out.

    Args:
        value: the number at first.
        fixed: whether the number must not shrink.
        release: called when this number, or that of passes with gradients, shrinks; it frees memory that is
            held for batches.
    """

    def __init__(self, value: int, *, fixed: bool = False, release: Callable[[], None] | None = None) -> None:
        self.value = value
        self._fixed, self._release = fixed, release

    @cached_property
    def with_gradients(self) -> BatchSize:
        """The batch size of passes with gradients, which shrinks independently.

        Such a pass keeps the maps of all layers, and needs more memory. If it does not fit, the forward
        passes of all other methods must not become smaller for the rest of a run.
        """
        return BatchSize(self.value, fixed=self._fixed, release=self._release)

    def attempt(self, work: Callable[[], _Result]) -> _Result | None:
        """Do some work and return its result. When memory runs out, halve the value and return ``None``.

        Raises:
            DeviceError: a single input does not fit in memory, or a batch does not fit that must not shrink.
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
    """Turn failures of torch that no smaller batch can prevent into an error of one line.

    Raises:
        DeviceError: memory ran out, or a deterministic run needs an operation that torch cannot repeat.
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
    """Whether torch, or a library that it calls, ran out of memory, or may have failed for that reason.

    Only torch's own allocator raises torch's error type. cuDNN, cuBLAS and the CUDA runtime allocate memory
    themselves, and report a failure by a plain ``RuntimeError``, as torch does on the CPU.
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
    """Another possible cause, for a message about memory; empty where memory is surely the cause."""
    text = text_of(error)
    certain = isinstance(error, torch.OutOfMemoryError | MemoryError) or _NO_MEMORY.search(text)
    if certain:
        return ""
    first_line = text.strip().partition("\n")[0]
    return f" (or, if memory is free, this device cannot do it in this precision; it says: {first_line})"
