"""Methods and metrics on a device without float64: the same numbers, and no float64 on the device.

Apple's GPU itself is not at hand; see ``tests/pretended_mps.py`` for what stands for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from golden_maps import OPTIONS, network
from pretended_mps import DEVICE, OnMps, PretendedMps

from adasise_bench.data.boxes import Box
from adasise_bench.data.dataset import Annotation
from adasise_bench.methods import Explanation, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.pair import Pair, compute
from adasise_bench.metrics.registry import EXTRA
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.surgery import fold_batchnorm
from adasise_bench.utils import devices
from adasise_bench.utils.timing import PhaseClock

UNRUN = {"information_bottleneck": "torch has no random numbers for a pretended device"}


@pytest.fixture(autouse=True)
def device(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(devices, "_WITHOUT_FLOAT64", frozenset({DEVICE.type}))
    monkeypatch.setattr(torch, "autocast", lambda *_arguments, **_options: nullcontext())
    with_values = torch.tensor

    def tensor(values: Any, *, device: Any = None, **options: Any) -> torch.Tensor:
        """Of a list, which torch would not copy to a device that it takes for one without values."""
        made = with_values(values, **options)
        return made if device is None else made.to(device)

    monkeypatch.setattr(torch, "tensor", tensor)
    with PretendedMps():
        yield


def picture() -> torch.Tensor:
    coarse = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(11)) * 240 - 120
    return torch.nn.functional.interpolate(coarse, (24, 20), mode="bilinear")


def region() -> torch.Tensor:
    inside = torch.zeros(24, 20, dtype=torch.bool)
    inside[5:15, 4:9] = True
    return inside


def on_device(classifier: Classifier) -> Classifier:
    return replace(classifier, module=classifier.module.to(DEVICE), device=DEVICE)


def explained(method: str, classifier: Classifier) -> Explanation:
    options = parse_method({"name": method} | OPTIONS.get(method, {}))
    request = Request(options, picture().to(classifier.device), 1, inside=region().to(classifier.device))
    torch.manual_seed(7)
    return options.explain(classifier, request, PhaseClock(torch.device("cpu")))


@pytest.mark.parametrize("method", [name for name in METHODS if name not in UNRUN])
def test_a_method_gives_the_map_of_the_cpu(method: str) -> None:
    expected = explained(method, network())
    found = explained(method, on_device(network()))
    torch.testing.assert_close(found.saliency.cpu(), expected.saliency, rtol=1e-5, atol=1e-6)
    assert (found.maps_kept, found.forwards) == (expected.maps_kept, expected.forwards)


def metrics(classifier: Classifier) -> dict[str, float | None]:
    saliency = torch.rand(24, 20, generator=torch.Generator().manual_seed(5)).to(classifier.device)
    image, truth = picture().to(classifier.device), Annotation((20, 24), (Box("b", 4, 5, 9, 15),))
    pair = Pair(
        classifier, image, 1, "b", saliency, region(), truth, None,
        lambda: classifier.reference_scores(image)[0], lambda other: saliency,
    )  # fmt: skip
    return compute(pair, [name for name in EXTRA if name in ("insertion", "deletion")])


def test_metrics_are_those_of_the_cpu() -> None:
    expected, found = metrics(network()), metrics(on_device(network()))
    assert list(found) == list(expected)
    assert len(expected) > 6
    for name, value in expected.items():
        assert found[name] == (value if value is None else pytest.approx(value, rel=1e-5, abs=1e-6)), name


def test_batch_normalisations_are_folded_on_the_host() -> None:
    torch.manual_seed(0)
    parts = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)).eval()
    parts[1].running_mean.normal_()
    expected = parts(picture()).detach()
    folded = fold_batchnorm(parts.to(DEVICE))
    assert isinstance(folded[1], torch.nn.Identity)
    assert folded[0].weight.device == DEVICE
    torch.testing.assert_close(folded(picture().to(DEVICE)).detach().cpu(), expected, rtol=1e-4, atol=1e-4)


def test_the_pretended_device_refuses_what_mps_refuses() -> None:
    values = torch.ones(3, 4, device=DEVICE)
    assert isinstance(values, OnMps)
    for refused in (
        lambda: values.double(),
        lambda: values.sum(dtype=torch.float64),
        lambda: values.new_empty(2, dtype=torch.float64),
        lambda: torch.ones(2, dtype=torch.float64).to(DEVICE),
    ):
        with pytest.raises(TypeError, match="float64"):
            refused()
    with pytest.raises(RuntimeError, match="same device"):
        values + torch.ones(4)
    assert devices.to_float64(values).dtype == torch.float64
