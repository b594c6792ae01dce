"""Records that are equal to the bit: fixes the choices of torch and the seeds of random numbers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any

import torch

_CUBLAS = ("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Allow only algorithms that repeat their results on the same device; torch raises if it has none.

    cuBLAS reads its setting when the process first uses it, so a GPU must not have been used before. By
    default, torch then fills new memory before it is written. This is switched off, because nothing here
    reads memory before writing it.

    Args:
        wanted: whether to change anything; torch's settings are restored afterwards.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault(*_CUBLAS)
    cudnn = torch.backends.cudnn
    memory: Any = torch.utils.deterministic
    found = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    found_fill = memory.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(found[0])
        memory.fill_uninitialized_memory = found_fill
        cudnn.deterministic, cudnn.benchmark = found[1:]


def pair_seed(seed: int, image_id: str, class_name: str | None, method: str) -> int:
    """The seed of one explanation, in [0, 2^63), which does not depend on what else is explained, or when.

    It does not depend on the network either, so that two networks are asked with the same random numbers.

    Args:
        seed: the run's seed.
        image_id: the picture.
        class_name: the class.
        method: the method's label.
    """
    text = json.dumps([seed, image_id, class_name, method])
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest()) >> 1
