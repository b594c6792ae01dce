"""The same small network on any device."""

from __future__ import annotations

import os

import torch
from conftest import TinyVGG, make_classifier

from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
"""cuBLAS reads it when a process first uses it, and deterministic runs need it."""


def tiny_on(device: torch.device, batch: int = 16) -> Classifier:
    torch.manual_seed(3)
    return make_classifier(
        TinyVGG().to(device), ("features.1", "features.4", "features.7"), tuple("abcd"),
        device=device, batch_size=BatchSize(batch), engine=Engine("contiguous", batch),
    )  # fmt: skip
