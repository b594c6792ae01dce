"""How cuDNN chooses among its convolution kernels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def kernels_timed(wanted: bool) -> Iterator[None]:
    """Let cuDNN time its kernels once for every new shape of inputs, and keep the fastest.

    Otherwise cuDNN estimates which kernel is the fastest. Timing takes longer than many forward passes, and
    another run may choose another kernel.

    Args:
        wanted: whether to change anything. torch's setting is restored afterwards.
    """
    found = torch.backends.cudnn.benchmark
    torch.backends.cudnn.benchmark = found or wanted
    try:
        yield
    finally:
        torch.backends.cudnn.benchmark = found
