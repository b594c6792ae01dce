"""Gives memory back to the system."""

from __future__ import annotations

import ctypes

import pyarrow as pa


def release_unused() -> None:
    """Give back the memory that was freed; pyarrow, and the C library on Linux, keep it for later otherwise.

    What one of the two keeps, the other one cannot use.
    """
    pa.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
