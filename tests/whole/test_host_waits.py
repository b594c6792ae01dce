"""How often an explanation, or measuring one, makes the host wait for the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from conftest import explained
from host_waits import HostWaits

from adasise_bench import metrics
from adasise_bench.data.boxes import Box
from adasise_bench.data.dataset import Annotation
from adasise_bench.methods import Explanation, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.metrics import pair, pixels
from adasise_bench.metrics.pixels import pixel_order
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.record import Key
from adasise_bench.run.measure import Truth, measured

MOST = {
    "sise": 6,
    "ada_sise": 6,
    "cam": 4,
    "grad_cam": 2,
    "grad_cam_pp": 2,
    "score_cam": 3,
    "ablation_cam": 4,
    "rise": 6,
    "gradient": 0,
    "integrated_gradients": 2,
    "full_grad": 0,
    "lrp": 1,
}
"""Waits of one explanation, whatever the number of layers, of batches, and of feature maps."""


def of_network(classifier: Classifier, *tensors: torch.Tensor) -> HostWaits:
    return HostWaits([*classifier.module.parameters(), *classifier.module.buffers(), *tensors])


def of_method(method: str, classifier: Classifier, image: torch.Tensor) -> Counter[str]:
    entry = {"name": method} | ({"masks": 40} if method == "rise" else {})
    with of_network(classifier, image) as waits:
        explained(entry, classifier, image, 1)
    return waits.counted


@pytest.mark.parametrize(
    ("method", "network"),
    [
        *((method, "tiny") for method in MOST),
        *((method, "resnet_layout") for method in MOST if method != "lrp"),  # it folds no normalisation
    ],
)
def test_an_explanation_waits_a_few_times(
    method: str, network: str, image: torch.Tensor, request: pytest.FixtureRequest
) -> None:
    counted = of_method(method, request.getfixturevalue(network), image)
    assert counted.total() <= MOST[method], counted


@pytest.mark.parametrize("method", ["sise", "score_cam", "rise", "ablation_cam"])
def test_no_batch_waits(method: str, tiny: Classifier, image: torch.Tensor) -> None:
    few, many = (of_method(method, replace(tiny, batch_size=BatchSize(size)), image) for size in (2, 64))
    assert few == many


def test_measuring_waits_for_the_scores_and_for_the_map(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sorts: list[torch.Tensor] = []
    for module in (pair, pixels):
        monkeypatch.setattr(module, "pixel_order", lambda map_: sorts.append(map_) or pixel_order(map_))
    saliency = torch.rand(48, 40, generator=torch.Generator().manual_seed(1))
    annotation = Annotation((40, 48), (Box("a", 3, 3, 20, 30),))
    request = Request(parse_method("sise"), image, 0, inside=annotation.inside("a", (48, 40)))
    with of_network(tiny, image, saliency) as waits:
        truth = Truth(annotation, None, lambda: tiny.scores(image)[0])
        record = measured(tiny, request, Key("m", "sise", "1", "a"), truth, Explanation(saliency, 1, 1), {})
    assert waits.counted.total() <= 3, waits.counted
    assert len(sorts) == 1
    assert record.bbox == metrics.bbox(saliency, annotation.inside("a", (48, 40)))


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: float(x.sum()),
        lambda x: bool((x > 0).any()),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x[[0, 2]],
        lambda x: x.cpu(),
        lambda x: x.tolist(),
        lambda x: torch.ones(3).to(x.device),
        lambda x: torch.ones(3).to(x),
        lambda x: torch.equal(x, x),
        lambda x: (x * 2)[1:].masked_select(x[1:] > 0),
    ],
)
def test_what_waits_is_counted(waiting: Callable[[torch.Tensor], object]) -> None:
    tensor = torch.arange(3.0)
    with HostWaits([tensor]) as waits:
        waiting(tensor)
    assert waits.counted.total() == 1


@pytest.mark.parametrize(
    "free",
    [
        lambda x: x.argsort()[:2],
        lambda x: x[x.argsort()],
        lambda x: x[torch.arange(2, device=x.device)],
        lambda x: torch.zeros(3, device=x.device).add_(x),
        lambda x: x.clone().masked_fill_(x > 0, 1),
        lambda x: x.double().to(torch.float32),
        lambda _: float(torch.ones(3).sum()) + len(torch.ones(3).nonzero()),
        lambda _: torch.ones(3)[[0, 1]].tolist(),
    ],
)
def test_what_does_not_wait_is_not_counted(free: Callable[[torch.Tensor], object]) -> None:
    tensor = torch.arange(3.0)
    with HostWaits([tensor]) as waits:
        free(tensor)
    assert not waits.counted.total()


def test_the_counter_leaves_no_trace() -> None:
    before = {name: getattr(torch.Tensor, name) for name in ("cpu", "to", "tolist")}
    with HostWaits([]):
        assert torch.Tensor.cpu is not before["cpu"]
    assert {name: getattr(torch.Tensor, name) for name in before} == before
