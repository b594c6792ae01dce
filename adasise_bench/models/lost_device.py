"""Recognises errors after which a process can do nothing more on its GPU."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from adasise_bench.utils.errors import DeviceError, text_of
from adasise_bench.utils.timing import synchronize

_STICKY = re.compile(
    "|".join(
        [
            "unspecified launch failure",
            "uncorrectable ECC error encountered",
            "uncorrectable NVLink error detected",
            "Invalid access of peer GPU memory over nvlink or a hardware error",
            "an illegal memory access was encountered",
            "the launch timed out and was terminated",
            "context is destroyed",
            "device-side assert triggered",
            "hardware stack error",
            "an illegal instruction was encountered",
            "misaligned address",
            "operation not supported on global/shared address space",
            "invalid program counter",
            "tensor memory not completely freed",
            "an async error has occured in external entity",  # spelt so by CUDA
            "MPS client has been terminated by the server",
        ]
    )
)
"""The texts (of ``cudaGetErrorString``) of errors after which a process can no longer use its GPU.

CUDA's documentation lists them. All further work on the GPU gives the same error, and only another process
can use the GPU again.
"""


def is_lost_device(error: BaseException) -> bool:
    """Whether an error of torch says that this process has lost its GPU, by a faulty kernel or hardware."""
    return isinstance(error, RuntimeError) and _STICKY.search(text_of(error)) is not None


def loss_of(device: torch.device, error: BaseException) -> str | None:
    """The CUDA error by which this process lost ``device``, in one line; ``None`` if it still answers.

    Libraries such as cuDNN report the first failure in other words, and therefore the device is asked as
    well.

    Args:
        device: where the work failed.
        error: the exception with which it failed.
    """
    if is_lost_device(error):
        return _first_line(error)
    if not isinstance(error, RuntimeError):
        return None
    try:
        synchronize(device)
    except RuntimeError as answer:
        return _first_line(answer)
    return None


@contextmanager
def named_if_lost(device: torch.device) -> Iterator[None]:
    """Turn the loss of ``device`` in a ``with`` block into an error of one line.

    Raises:
        DeviceError: the device is lost. Other errors stay as they are.
    """
    try:
        yield
    except RuntimeError as error:
        reason = loss_of(device, error)
        if reason is None:
            raise
        raise DeviceError(
            f"lost {device}: {reason}; what is finished is kept: give the same command again to go on, "
            "and use another device if this one fails again"
        ) from None


def _first_line(error: BaseException) -> str:
    return text_of(error).strip().partition("\n")[0]
