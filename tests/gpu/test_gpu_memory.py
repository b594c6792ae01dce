"""When a GPU's memory does not suffice, smaller batches give the same maps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from gpu_network import tiny_on

from adasise_bench.methods import Explanation, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock

pytestmark = pytest.mark.gpu

_LEFT = 512 * 2**20
"""Bytes that are left on the GPU: enough for the driver to load the kernels that are first used now."""

_BATCH = 16384
"""Inputs per forward pass whose first layer's maps alone take more: 6 maps of 48 x 40 float32 each."""


@pytest.fixture
def full(cuda: torch.device) -> Iterator[torch.device]:
    """A GPU on which other work has taken nearly everything."""
    torch.zeros(1, device=cuda)
    torch.cuda.empty_cache()
    free, _ = torch.cuda.mem_get_info(cuda)
    ballast = torch.empty(free - _LEFT, dtype=torch.uint8, device=cuda)
    yield cuda
    del ballast
    torch.cuda.empty_cache()


def explain(classifier: Classifier, image: torch.Tensor, entry: object) -> Explanation:
    method = parse_method(entry)
    request = Request(method, image.to(classifier.device), 1)
    return method.explain(classifier, request, PhaseClock(classifier.device))


@pytest.mark.parametrize("entry", ["sise", {"name": "rise", "masks": 200}])
def test_less_memory_means_smaller_batches_and_the_same_map(
    full: torch.device, image: torch.Tensor, entry: object
) -> None:
    expected = explain(tiny_on(torch.device("cpu")), image, entry)
    classifier = tiny_on(full, _BATCH)
    found = explain(classifier, image, entry)
    assert classifier.batch_size.value < _BATCH
    torch.testing.assert_close(found.saliency.cpu(), expected.saliency, atol=1e-4, rtol=0)
