"""Gradients of inputs by a backend are torch's, and torch computes them where the backend cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from conftest import explained, make_classifier
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from adasise_bench.methods.extremal_perturbation.extremal_perturbation import OBJECTIVES
from adasise_bench.metrics.randomisation import randomized_head
from adasise_bench.models.backends import gradient_graph, openvino
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine

pytest.importorskip("openvino")


class Branching(nn.Module):
    """Takes a way that depends on its inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.layer(x)
        return (x.relu() if float(x.mean()) > 0 else -x).mean((2, 3))


def vgg_like() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2, ceil_mode=True),
        nn.Conv2d(8, 12, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2),
        nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 4),
    )  # fmt: skip


def resnet_like(block: type[BasicBlock | Bottleneck] = Bottleneck) -> nn.Module:
    """With the stand-in's stem: seven pixels, a stride of 2, and a pooling that rounds up."""
    network = ResNet(block, [1, 1, 1, 1], num_classes=4)
    network.maxpool = nn.MaxPool2d(3, 2, padding=0, ceil_mode=True)
    return network


def convolutional() -> nn.Module:
    """Strides, dilation and groups of all kinds; outputs at several positions."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 5, stride=3, padding=1), nn.SiLU(), nn.Conv2d(8, 8, 3, padding=2, dilation=2),
        nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8), nn.GELU(), nn.Conv2d(8, 8, 1, stride=2),
        nn.BatchNorm2d(8), nn.ReLU6(), nn.Conv2d(8, 4, (2, 1), padding=(0, 1)),
    )  # fmt: skip


def unequal_strides() -> nn.Module:
    """Strides beyond the kernel, and of one axis only, whose gradients remain transposed convolutions."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, (1, 5), padding=(2, 3), stride=(1, 2)),
        nn.ReLU(), nn.Conv2d(8, 4, 2, stride=3), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "vgg": vgg_like,
    "bottleneck": resnet_like,
    "basic": lambda: resnet_like(BasicBlock),
    "convolutional": convolutional,
    "unequal strides": unequal_strides,
}


def engined(module: nn.Module, backend: str = "openvino", layout: str = "channels_last") -> Classifier:
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3 / max(1, parameter[0].numel()) ** 0.5)
    classifier = make_classifier(module, (), ("a", "b", "c", "d"))
    return classifier.with_engine(Engine(layout, 4, backend))  # type: ignore[arg-type]


def batch(side: int = 61, layout: torch.memory_format = torch.channels_last) -> torch.Tensor:
    noise = torch.randn(4, 3, side, side + 6, generator=torch.Generator().manual_seed(1)) * 50
    return noise.to(memory_format=layout)


TARGETS = torch.tensor([1, 1, 3, 0])


@pytest.mark.parametrize("reward", list(OBJECTIVES))
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", list(NETWORKS))
def test_the_gradient_is_that_of_autograd(
    name: str, layout: str, reward: str, capsys: pytest.CaptureFixture[str]
) -> None:
    classifier = engined(NETWORKS[name](), layout=layout)
    inputs = batch(layout=torch.channels_last if layout == "channels_last" else torch.contiguous_format)
    variable = inputs.clone().requires_grad_()
    outputs = (
        classifier.module(variable).flatten(2) if name == "convolutional" else classifier.module(variable)
    )
    outputs = outputs.mean(2) if outputs.ndim == 3 and reward == "simple" else outputs
    if reward == "simple":
        value = sum(row[target] for row, target in zip(outputs, TARGETS, strict=True))
    else:
        outputs = outputs if outputs.ndim == 3 else outputs[:, :, None]
        value = sum(
            (row[target] - torch.cat([row[:target], row[target + 1 :]]).amax(0)).mean()
            for row, target in zip(outputs, TARGETS, strict=True)
        )
    (expected,) = torch.autograd.grad(value, variable)
    got = classifier.input_gradient(inputs, TARGETS, OBJECTIVES[reward])
    assert classifier.gradients is not None
    assert not classifier.gradients.failed
    assert capsys.readouterr().err == ""
    assert float(expected.norm()) > 0
    assert float((got - expected).norm()) < 1e-5 * float(expected.norm())
    again = classifier.input_gradient(inputs.flip(0), TARGETS.flip(0), OBJECTIVES[reward]).flip(0)
    torch.testing.assert_close(again, got, atol=1e-6 * float(got.abs().max()), rtol=1e-4)


def test_bf16_is_coarser_and_points_the_same_way() -> None:
    classifier = engined(resnet_like())
    inputs = batch()
    exact = classifier.input_gradient(inputs, TARGETS, OBJECTIVES["simple"])
    coarse = replace(classifier, precision="bf16").input_gradient(inputs, TARGETS, OBJECTIVES["simple"])
    assert classifier.gradients is not None
    assert not classifier.gradients.failed
    assert coarse.dtype == torch.float32
    assert not torch.equal(coarse, exact)
    cosine = float((coarse * exact).sum() / coarse.norm() / exact.norm())
    assert cosine > 0.95


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (2, {}),
        (3, {"stride": 2, "ceil_mode": True}),
        (3, {"stride": 2, "padding": 1}),
        (3, {"stride": (1, 2), "dilation": 2, "padding": (1, 0)}),
        ((2, 3), {"stride": 3, "ceil_mode": True, "padding": 1}),
    ],
)
def test_pooling_takes_the_first_of_equal_maxima(kernel: Any, options: dict[str, Any]) -> None:
    inputs = torch.randint(0, 3, (2, 3, 13, 16), generator=torch.Generator().manual_seed(0)).float()
    expected, at = torch.nn.functional.max_pool2d_with_indices(inputs, kernel, **options)
    arguments = {name: value if isinstance(value, tuple) else (value,) for name, value in options.items()}
    arguments["ceil_mode"] = options.get("ceil_mode", False)
    got, places = gradient_graph.max_pool(
        inputs, kernel if isinstance(kernel, tuple) else (kernel,), **arguments
    )
    assert torch.equal(got, expected)
    assert torch.equal(places, at)


def test_a_gradient_that_deviates_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right = gradient_graph.max_pool_backward
    monkeypatch.setattr(gradient_graph, "max_pool_backward", lambda *given: 1.01 * right(*given))
    classifier = engined(vgg_like())
    for _ in range(2):
        got = classifier.input_gradient(batch(), TARGETS, OBJECTIVES["simple"])
    assert classifier.gradients is not None
    assert classifier.gradients.failed
    assert torch.equal(got, engined_torch(vgg_like).input_gradient(batch(), TARGETS, OBJECTIVES["simple"]))
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "openvino cannot compute its gradients: they differ from torch's by 0.0" in error
    assert classifier.backend is not None
    assert not classifier.backend.failed


def engined_torch(network: Callable[[], nn.Module]) -> Classifier:
    return engined(network(), "torch")


def test_a_network_that_cannot_be_traced_is_left_to_torch(capsys: pytest.CaptureFixture[str]) -> None:
    got = engined(Branching()).input_gradient(batch(), TARGETS, OBJECTIVES["simple"])
    expected = engined_torch(Branching).input_gradient(batch(), TARGETS, OBJECTIVES["simple"])
    assert torch.equal(got, expected)
    assert "openvino cannot compute its gradients" in capsys.readouterr().err


def test_few_shapes_are_prepared_and_the_others_are_torch_s(monkeypatch: pytest.MonkeyPatch) -> None:
    made, compiled = [], openvino._compiled
    monkeypatch.setattr(
        openvino, "_compiled", lambda model, precision: made.append(precision) or compiled(model, precision)
    )
    classifier = engined(vgg_like())
    for side in (40, 41, 42, 43, 44, 45, 40):
        classifier.input_gradient(batch(side), TARGETS, OBJECTIVES["simple"])
    assert made == ["fp32"] * 4


def test_short_of_memory_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def short(*_given: object) -> None:
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(openvino, "_compiled", short)
    classifier = engined(vgg_like())
    with pytest.raises(torch.OutOfMemoryError):
        classifier.input_gradient(batch(), TARGETS, OBJECTIVES["simple"])
    assert classifier.gradients is not None
    assert not classifier.gradients.failed


@pytest.mark.parametrize("options", [{"iterations": 15}, {"preset": "single-area", "iterations": 15}])
def test_extremal_perturbation_is_that_of_torch(
    tiny: Classifier, image: torch.Tensor, options: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    request = {"name": "extremal_perturbation", **options}
    expected = explained(request, tiny, image, 1).saliency
    other = tiny.with_engine(replace(tiny.engine, backend="openvino"))
    passes: list[int] = []
    other.module.register_forward_pre_hook(lambda _module, inputs: passes.append(len(inputs[0])))
    got = explained(request, other, image, 1).saliency
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)
    assert len(passes) < 5  # to trace and to compare; the others passed by OpenVINO
    assert capsys.readouterr().err == ""


def test_memory_that_runs_out_gives_back_what_is_prepared(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pass with gradients or in a scoring pass: both hold memory."""
    made, compiled = [], openvino._compiled
    monkeypatch.setattr(
        openvino, "_compiled", lambda model, precision: made.append(precision) or compiled(model, precision)
    )
    classifier = engined(vgg_like())

    def fail() -> None:
        raise torch.OutOfMemoryError("planted")

    for size in (classifier.batch_size.with_gradients, classifier.batch_size):
        made.clear()
        classifier.input_gradient(batch(), TARGETS, OBJECTIVES["simple"])
        classifier.input_gradient(batch(), TARGETS, OBJECTIVES["simple"])
        assert len(made) == 1
        assert size.attempt(fail) is None
        classifier.input_gradient(batch(), TARGETS, OBJECTIVES["simple"])
        assert len(made) == 2
        classifier.release()


def test_a_network_with_a_random_head_has_gradients_of_its_own() -> None:
    network, inputs = engined(vgg_like()), batch()
    network.input_gradient(inputs, TARGETS, OBJECTIVES["simple"])
    other = randomized_head(network, inputs[:1])
    expected = replace(network, module=other.module, backend=None, gradients=None)
    found, wanted = (one.input_gradient(inputs, TARGETS, OBJECTIVES["simple"]) for one in (other, expected))
    assert torch.equal(found, wanted)
