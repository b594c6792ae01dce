"""Batches shrink when memory runs out, and nothing already computed is lost."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from adasise_bench.methods.gradients.integrated_gradients import attributions
from adasise_bench.methods.masking import score_masks
from adasise_bench.models.batching import BatchSize, torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import DeviceError

ACCELERATOR_ERROR: type[RuntimeError] = getattr(torch, "AcceleratorError", RuntimeError)
CPU_MESSAGE = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"
NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError(CPU_MESSAGE),
    RuntimeError("std::bad_alloc"),
    RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ACCELERATOR_ERROR("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA driver error: out of memory"),
    RuntimeError("CUDA ran out of memory outside PyTorch's allocator. If this workload uses many shapes,"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cusolver error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`"),
    RuntimeError("cuFFT error: CUFFT_ALLOC_FAILED"),
]
PERHAPS_NO_MEMORY = [
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("FIND was unable to find an engine to execute this computation"),
    RuntimeError("Unable to find an engine to execute this computation in Quantized Conv2D Cudnn"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR"),
    RuntimeError("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED"),
    RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`"),
    ACCELERATOR_ERROR("CUDA error: operation failed due to a previous error during capture\nCUDA kernel"),
]


@pytest.mark.parametrize("error", [*NO_MEMORY, *PERHAPS_NO_MEMORY], ids=str)
def test_halves_until_one_input_is_left(error: RuntimeError) -> None:
    def fail() -> None:
        raise error

    size = BatchSize(5)
    assert [size.attempt(fail), size.value, size.attempt(fail), size.value] == [None, 2, None, 1]
    with pytest.raises(DeviceError, match="single input"):
        size.attempt(fail)
    assert size.attempt(lambda: "done") == "done"


@pytest.mark.parametrize("error", NO_MEMORY, ids=str)
def test_exhausted_memory_is_called_so(error: RuntimeError) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(DeviceError, match=r"memory; use a smaller data\.input_size$"):
        BatchSize(1).attempt(fail)
    with (
        pytest.raises(DeviceError, match=r"^out of memory; .* data\.input_size$"),
        torch_failures(),
    ):
        fail()


@pytest.mark.parametrize("error", PERHAPS_NO_MEMORY, ids=str)
def test_what_may_be_something_else_than_memory_is_said_in_the_librarys_words(error: RuntimeError) -> None:
    def fail() -> None:
        raise error

    words = re.escape(f"cannot do it in this precision; it says: {str(error).splitlines()[0]})")
    for attempt in (BatchSize(1).attempt, BatchSize(2, fixed=True).attempt, torch_failures()(lambda f: f())):
        with pytest.raises(DeviceError, match=f"memory.*{words}$"):
            attempt(fail)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("CUDA error: an illegal memory access was encountered"),
        RuntimeError("cuDNN error: CUDNN_STATUS_NOT_SUPPORTED"),
        RuntimeError("CUDA error: no kernel image is available for execution on the device"),
    ],
    ids=str,
)
def test_other_errors_of_the_device_shrink_no_batch(error: RuntimeError) -> None:
    def fail() -> None:
        raise error

    size = BatchSize(8)
    with pytest.raises(RuntimeError, match=re.escape(str(error))):
        size.attempt(fail)
    assert size.value == 8


def test_a_fixed_batch_does_not_shrink() -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    size = BatchSize(8, fixed=True)
    with pytest.raises(DeviceError, match=r"8 inputs do not fit .* engine\.batch_size"):
        size.attempt(fail)
    assert size.value == 8


def test_passes_with_gradients_shrink_apart(tiny: Classifier, image: torch.Tensor) -> None:
    classifier = replace(tiny, batch_size=BatchSize(8))
    expected = attributions(tiny, image, 1, 12)
    passed = []

    def short_of_memory(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        passed.append(len(inputs[0]))
        if inputs[0].requires_grad and len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("planted")

    classifier.module.register_forward_pre_hook(short_of_memory)
    torch.testing.assert_close(attributions(classifier, image, 1, 12), expected)
    assert passed == [8, 4] + [2] * 6
    assert (classifier.batch_size.value, classifier.batch_size.with_gradients.value) == (8, 2)
    score_masks(classifier, image, [torch.rand(5, 6, 5)])
    assert passed[-1] == 8


def test_a_fixed_batch_does_not_shrink_for_gradients_either() -> None:
    def fail() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    size = BatchSize(8, fixed=True)
    with pytest.raises(DeviceError, match="8 inputs do not fit"):
        size.with_gradients.attempt(fail)


def test_other_errors_pass() -> None:
    def fail() -> None:
        raise RuntimeError("shapes do not fit")

    size = BatchSize(8)
    with pytest.raises(RuntimeError, match="shapes"):
        size.attempt(fail)
    assert size.value == 8


@pytest.mark.parametrize("error", [NO_MEMORY[0], NO_MEMORY[7], PERHAPS_NO_MEMORY[0]], ids=str)
def test_scoring_goes_on_where_memory_ran_out(
    tiny: Classifier, image: torch.Tensor, error: RuntimeError
) -> None:
    classifier = replace(tiny, batch_size=BatchSize(8))
    maps = [torch.rand(11, 6, 5, generator=torch.Generator().manual_seed(k)) for k in range(2)]
    expected = score_masks(classifier, image, maps)
    passed = []

    def short_of_memory(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        passed.append(len(inputs[0]))
        if len(passed) > 1 and len(inputs[0]) > 3:
            raise error

    classifier.module.register_forward_pre_hook(short_of_memory)
    got = score_masks(classifier, image, maps)
    assert passed == [8, 8, 4] + [2] * 7
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.scores, other.scores, atol=1e-6, rtol=0)
        assert torch.equal(one.sums, other.sums)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (MemoryError(), "out of memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (
            RuntimeError("x does not have a deterministic implementation. Long advice."),
            "^deterministic: x does",
        ),
    ],
)
def test_what_torch_cannot_do_is_one_line(failure: Exception, message: str) -> None:
    with pytest.raises(DeviceError, match=message) as caught, torch_failures():
        raise failure
    assert "advice" not in str(caught.value)


def test_other_failures_are_left_alone() -> None:
    with pytest.raises(RuntimeError, match="shapes"), torch_failures():
        raise RuntimeError("shapes do not fit")
