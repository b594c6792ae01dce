"""Arithmetic of the forward passes: fp32 is the reference; the others are faster and less exact."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

PrecisionName = Literal["fp32", "tf32", "bf16", "fp16", "int8"]

_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}


@contextmanager
def arithmetic(precision: PrecisionName, device: torch.device) -> Iterator[None]:
    """Run torch in the given precision, any but int8; TF32 is off unless asked for, whatever has been set.

    Without TF32, products of float32 numbers keep all their digits in cuBLAS, cuDNN and oneDNN. The
    settings of torch hold for the whole process and are restored afterwards.
    """
    with (
        _float32_products("ieee" if precision == "fp32" else "tf32"),
        torch.autocast(device.type, dtype=_AUTOCAST.get(precision), enabled=precision in _AUTOCAST),
    ):
        yield


@contextmanager
def _float32_products(on_gpu: Literal["ieee", "tf32"]) -> Iterator[None]:
    """How matrix products, convolutions and recurrent layers treat float32; a CPU always computes in full.

    torch has two sets of switches for this. Up to torch 2.8 there are only the old ones. Since then there is
    also one ``fp32_precision`` for each library and operation. Setting an old switch sets the new ones that
    belong to it, but not the other way round, and if they differ, reading the old one raises. Networks of a
    user and ``torch.compile`` may read either set. Therefore both are set here, the old ones first.
    """
    gpu, cpu = _switches()
    found = [(switch, _own_value(switch, parent)) for switch, parent in (*gpu, *cpu)]
    for switch, _ in found:
        switch.fp32_precision = "ieee"
    found_old = torch.get_float32_matmul_precision(), _cudnn_allows_tf32()
    try:
        _set_old("high" if on_gpu == "tf32" else "highest", on_gpu == "tf32")
        for switch, _ in gpu:
            switch.fp32_precision = on_gpu
        for switch, _ in cpu:
            switch.fp32_precision = "ieee"
        yield
    finally:
        _set_old(*found_old)
        for switch, value in found:
            switch.fp32_precision = value


def _switches() -> tuple[list[tuple[Any, Any]], list[tuple[Any, Any]]]:
    """The new switches of GPU and CPU libraries, each with the one that it follows while it is ``none``."""
    cudnn, mkldnn, matmul = torch.backends.cudnn, torch.backends.mkldnn, torch.backends.cuda.matmul
    if not hasattr(matmul, "fp32_precision"):
        return [], []
    gpu = [(switch, cudnn) for switch in (matmul, cudnn.conv, cudnn.rnn)]  # type: ignore[attr-defined]
    return gpu, [(switch, mkldnn) for switch in (mkldnn.matmul, mkldnn.conv, mkldnn.rnn)]  # type: ignore[attr-defined]


def _own_value(switch: Any, parent: Any) -> str:
    """The value of a switch; if it equals that of the switch above, it is taken to follow that switch."""
    value: str = switch.fp32_precision
    return "none" if value == parent.fp32_precision else value


def _cudnn_allows_tf32() -> bool:
    """The old switch of cuDNN, read while the new ones are ``ieee``: it raises if it is on."""
    try:
        return bool(torch.backends.cudnn.allow_tf32)
    except RuntimeError:
        return True


def _set_old(matmul: str, cudnn: bool) -> None:
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = cudnn
