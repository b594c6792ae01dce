"""How many inputs pass through a network at once, and what happens when memory does not suffice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TypeVar

import torch

from adasise_bench.errors import DeviceError

_Result = TypeVar("_Result")

_OUT_OF_MEMORY = "out of memory; free some, or use a smaller data.input_size"


class BatchSize:
    """The inputs per forward pass of one network on one device; shrinks when memory runs out, if it may."""

    def __init__(self, value: int, *, fixed: bool = False) -> None:
        self.value = value
        self._fixed = fixed

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
        if self.value == 1:
            raise DeviceError("a single input does not fit in memory; use a smaller data.input_size")
        if self._fixed:
            raise DeviceError(
                f"{self.value} inputs do not fit in memory, and a deterministic run keeps its batch size; "
                "free memory, or set a smaller engine.batch_size and start anew"
            )
        self.value //= 2
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
    except MemoryError:
        raise DeviceError(_OUT_OF_MEMORY) from None
    except RuntimeError as error:
        if is_out_of_memory(error):
            raise DeviceError(_OUT_OF_MEMORY) from None
        if "deterministic" in str(error):
            raise DeviceError(f"deterministic: {str(error).split('.')[0]}") from None
        raise


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether torch could not allocate: its own error type on a GPU, a plain ``RuntimeError`` on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
