"""A very large matrix product is torch's, with torch's weights; the rest of the network is OpenVINO's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from adasise_bench.models.backends import large_product, openvino
from adasise_bench.models.backends.openvino import OpenVino

pytest.importorskip("openvino")

CPU = torch.device("cpu")


class Around(nn.Module):
    """Its outputs depend on the pictures beside what passes through the large layer."""

    def __init__(self) -> None:
        super().__init__()
        self.large, self.small = nn.Linear(3 * 16 * 16, 64), nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.small(self.large(x.flatten(1)).relu()) + x.mean((1, 2, 3))[:, None]


def sequential() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(512, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 5),
    )  # fmt: skip


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The models that are compiled; weights of 100 kB are large."""
    models, compile_model = list[Any](), openvino._compiled
    monkeypatch.setattr(large_product, "_LARGE", 100e3)
    monkeypatch.setattr(
        openvino, "_compiled", lambda model, name: models.append(model) or compile_model(model, name)
    )
    return models


def constants(model: Any) -> int:
    """Bytes of the largest constant of a model."""
    return max(one.data.nbytes for one in model.get_ops() if one.get_type_name() == "Constant")


@torch.no_grad()
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_large_weights_are_the_networks_own(compiled: list[Any], layout: torch.memory_format) -> None:
    module = sequential().eval()
    inputs = torch.randn(4, 3, 16, 16).to(memory_format=layout)
    forward = OpenVino(module, CPU).prepare(inputs, "fp32")
    torch.testing.assert_close(forward(inputs), module(inputs), atol=1e-6, rtol=1e-5)
    assert len(compiled) == 2
    assert all(constants(model) < 100e3 for model in compiled)
    module[4].weight.zero_()  # a copy would not change with it
    torch.testing.assert_close(forward(inputs), module(inputs), atol=1e-6, rtol=1e-5)


@torch.no_grad()
@pytest.mark.parametrize(("network", "precision"), [(Around, "fp32"), (sequential, "bf16")])
def test_what_cannot_be_cut_or_is_not_in_fp32_is_one_model(
    compiled: list[Any], network: Any, precision: Any
) -> None:
    module = network().eval()
    inputs = torch.randn(4, 3, 16, 16)
    found = OpenVino(module, CPU).prepare(inputs, precision)(inputs)
    torch.testing.assert_close(found, module(inputs), atol=1e-6 if precision == "fp32" else 0.05, rtol=1e-5)
    assert len(compiled) == 1
    assert constants(compiled[0]) > 100e3


@pytest.mark.parametrize("rows", [1, 4, 16])
@pytest.mark.parametrize("has_onednn", [True, False])
def test_products_are_those_of_double_precision(
    monkeypatch: pytest.MonkeyPatch, rows: int, has_onednn: bool
) -> None:
    by_torch, linear = list[bool](), F.linear
    monkeypatch.setattr(F, "linear", lambda *given: by_torch.append(True) or linear(*given))
    if not has_onednn:
        monkeypatch.setattr(large_product, "_has_onednn", lambda: False)
    generator = torch.Generator().manual_seed(0)
    features, weights = (torch.randn(n, 300, generator=generator) for n in (rows, 70))
    expected = (features.double() @ weights.double().T).float()
    for given in (weights, weights.T.contiguous().T):
        found = large_product.multiplied(features, given)
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-5)
    there = has_onednn and large_product._has_onednn()
    assert len(by_torch) == (1 if there else 2)  # weights that are not in order are torch's


def test_torch_calls_onednn_by_this_operator() -> None:
    if torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        assert large_product._has_onednn(), "it has another name in this torch; see large_product.multiplied"
