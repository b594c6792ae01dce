"""What every method promises: it leaves no trace, repeats itself, and gives a map of any network."""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TinyVGG, explained, make_classifier
from golden_maps import OPTIONS
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from adasise_bench.methods import Explanation
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier

BLOCKS = ("features.1", "features.4", "features.7")

GRADIENTS = ("gradient", "integrated_gradients", "full_grad", "lrp")


def run(method: str, classifier: Classifier, image: torch.Tensor) -> Explanation:
    inside = torch.zeros(image.shape[2:], dtype=torch.bool)
    inside[3:20, 5:9] = True
    return explained({"name": method} | OPTIONS.get(method, {}), classifier, image, 1, seed=7, inside=inside)


def state_of(classifier: Classifier) -> list[Any]:
    """Everything a method could leave changed, ready to compare."""
    modules = list(classifier.module.modules())
    tensors = classifier.module.state_dict(keep_vars=True)
    return [
        [type(module) for module in modules],
        [(module.training, "forward" in vars(module)) for module in modules],
        [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in modules],
        [(name, id(tensor), tensor.requires_grad, tensor.grad is None) for name, tensor in tensors.items()],
        [tensor.detach().numpy().tobytes() for tensor in tensors.values()],
        torch.get_rng_state().tolist(),
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.is_grad_enabled(),
    ]


class BreaksForward(TinyVGG):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        super().forward(x)
        raise ArithmeticError("planted")


class BreaksBackward(TinyVGG):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.features(x / 60)
        if maps.requires_grad:
            maps.register_hook(self.fail)
        return self.head(maps.mean(dim=(2, 3)))

    def fail(self, _gradient: torch.Tensor) -> None:
        raise ArithmeticError("planted")


def small_resnet() -> Classifier:
    """Residual blocks with batch normalisation that is not folded."""
    torch.manual_seed(5)
    module = ResNet(Bottleneck, [1, 1, 1, 1], num_classes=4, width_per_group=8)
    return make_classifier(module, ("relu", "layer1", "layer2", "layer3", "layer4"), tuple("abcd"))


@pytest.mark.parametrize(
    ("method", "network"),
    [*((method, "tiny") for method in METHODS), *((method, "resnet") for method in GRADIENTS)],
)
def test_it_leaves_no_trace_and_repeats_itself(
    method: str, network: str, tiny: Classifier, image: torch.Tensor
) -> None:
    classifier = tiny if network == "tiny" else small_resnet()
    first, second = list(classifier.module.parameters())[:2]
    first.requires_grad_(True)
    second.requires_grad_(False)
    before, copy = state_of(classifier), image.clone()
    once = run(method, classifier, image)
    torch.rand(3)
    before[5] = torch.get_rng_state().tolist()
    again = run(method, classifier, image)
    assert state_of(classifier) == before
    assert torch.equal(image, copy)
    assert not image.requires_grad
    assert torch.equal(once.saliency, again.saliency)
    assert once.saliency.shape == image.shape[2:]
    assert once.saliency.dtype == torch.float32
    assert not once.saliency.requires_grad
    assert torch.isfinite(once.saliency).all()
    assert float(once.saliency.min()) >= 0
    assert float(once.saliency.max()) > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("module", [BreaksForward, BreaksBackward])
def test_it_leaves_no_trace_when_the_network_fails(
    method: str, module: type[nn.Module], image: torch.Tensor
) -> None:
    classifier = make_classifier(module(), BLOCKS, tuple("abcd"))
    before = state_of(classifier)
    with suppress(ArithmeticError):
        found = run(method, classifier, image)
        assert not (found.forwards if module is BreaksForward else found.backwards), "it was swallowed"
    assert state_of(classifier) == before


@pytest.mark.parametrize("method", METHODS)
def test_a_network_of_zeros_gives_a_finite_map(method: str, tiny: Classifier, image: torch.Tensor) -> None:
    for parameter in tiny.module.parameters():
        parameter.zero_()
    found = run(method, tiny, image).saliency
    assert torch.isfinite(found).all()
    assert float(found.min()) >= 0


@pytest.mark.parametrize("method", GRADIENTS)
def test_a_network_that_ignores_its_input_has_no_evidence(method: str, image: torch.Tensor) -> None:
    class Deaf(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.ones(len(x), 4)

    assert not run(method, make_classifier(Deaf(), (), tuple("abcd")), image).saliency.any()


@pytest.mark.parametrize(
    "method", ["sise", "ada_sise", "rise", "score_cam", "ablation_cam", "integrated_gradients"]
)
def test_little_memory_in_the_middle_of_a_method_moves_its_map_by_rounding(
    method: str, tiny: Classifier, image: torch.Tensor
) -> None:
    """From the third pass of many inputs on, no more than two fit."""
    tiny = replace(tiny, batch_size=BatchSize(4))
    expected, sizes = run(method, tiny, image).saliency, []

    def refuse(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        if len(inputs[0]) > 1:
            sizes.append(len(inputs[0]))
        if len(sizes) > 2 and len(inputs[0]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with tiny.module.get_submodule("head").register_forward_pre_hook(refuse):
        found = run(method, tiny, image).saliency
    assert sizes[0] > 2
    assert sizes[-1] == 2
    torch.testing.assert_close(found, expected, atol=1e-5 * float(expected.max()), rtol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_as_many_inputs_pass_backward_as_are_planned(
    method: str, tiny: Classifier, image: torch.Tensor
) -> None:
    planned = parse_method({"name": method} | OPTIONS.get(method, {})).expected_backwards((6, 8, 10))
    assert planned == run(method, tiny, image).backwards
