"""Errors that end a process's use of its GPU, in the words of the CUDA runtime."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

import pytest
import torch

from adasise_bench.models import lost_device
from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.models.lost_device import is_lost_device, loss_of, named_if_lost
from adasise_bench.utils.errors import DeviceError

GPU = torch.device("cuda:1")
STICKY = {
    "ECCUncorrectable": 214,
    "NvlinkUncorrectable": 220,
    "Contained": 226,
    "IllegalAddress": 700,
    "LaunchTimeout": 702,
    "ContextIsDestroyed": 709,
    "Assert": 710,
    "HardwareStackError": 714,
    "IllegalInstruction": 715,
    "MisalignedAddress": 716,
    "InvalidAddressSpace": 717,
    "InvalidPc": 718,
    "LaunchFailure": 719,
    "TensorMemoryLeak": 721,
    "MpsClientTerminated": 810,
    "ExternalDevice": 911,
}
"""Numbers in ``cudaError_t`` whose documentation says that the process must be ended to use CUDA again."""

_PRIOR_LAUNCH = 53


@pytest.fixture(scope="module")
def cuda_runtime() -> ctypes.CDLL:
    """The CUDA runtime that torch or torchvision brings; it needs no GPU to name its errors."""
    packages = [Path(path) for path in sys.path if Path(path).name == "site-packages"]
    found = [file for path in packages for file in path.glob("nvidia/*/lib/libcudart.so.*")]
    if not found:
        pytest.skip("needs the CUDA runtime that comes with torch for GPUs")
    runtime = ctypes.CDLL(str(found[0]))
    for name in ("cudaGetErrorName", "cudaGetErrorString"):
        getattr(runtime, name).restype = ctypes.c_char_p
    return runtime


def test_the_words_are_those_of_the_runtime(cuda_runtime: ctypes.CDLL) -> None:
    names = {number: cuda_runtime.cudaGetErrorName(number).decode() for number in range(1, 1000)}
    for name, number in STICKY.items():
        assert names[number] in (f"cudaError{name}", "unrecognized error code")
    lost = {
        number
        for number, name in names.items()
        if name != "unrecognized error code"
        and is_lost_device(RuntimeError(f"CUDA error: {cuda_runtime.cudaGetErrorString(number).decode()}"))
    }
    assert lost - {_PRIOR_LAUNCH} == {
        number for number in STICKY.values() if names[number].startswith("cuda")
    }
    assert is_out_of_memory(RuntimeError(cuda_runtime.cudaGetErrorString(2).decode()))


@pytest.mark.parametrize(
    "reason", ["an illegal memory access was encountered", "device-side assert triggered"]
)
def test_a_lost_gpu_is_one_line_that_names_it(reason: str) -> None:
    error = RuntimeError(f"CUDA error: {reason}\nCUDA kernel errors might be asynchronously reported")
    assert not is_out_of_memory(error)
    message = f"^lost cuda:1: CUDA error: {reason}; what is finished is kept"
    with pytest.raises(DeviceError, match=message) as caught, named_if_lost(GPU):
        raise error
    assert "asynchronously" not in str(caught.value)


def test_the_gpu_itself_is_asked_where_a_library_hides_what_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(device: torch.device) -> None:
        assert device == GPU
        raise RuntimeError("CUDA error: unknown error\nmore")

    error = RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
    monkeypatch.setattr(lost_device, "synchronize", silent)
    assert loss_of(GPU, error) == "CUDA error: unknown error"
    monkeypatch.setattr(lost_device, "synchronize", lambda _device: None)
    assert loss_of(GPU, error) is None


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), named_if_lost(torch.device("cpu")):
        raise RuntimeError("shapes")
    assert loss_of(GPU, ValueError("device-side assert triggered")) is None
