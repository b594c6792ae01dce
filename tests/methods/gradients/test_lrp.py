"""LRP: closed forms, conservation, other libraries, and what zennit must be told about our networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from captum.attr import LRP
from captum.attr._utils.lrp_rules import EpsilonRule
from conftest import TinyVGG, explained, make_classifier
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet
from zennit.attribution import Gradient
from zennit.composites import EpsilonPlusFlat

from adasise_bench.methods.gradients.input_gradients import input_gradients
from adasise_bench.methods.gradients.lrp import relevance
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models import scenes_vgg
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.surgery import MatrixAveragePool, fold_batchnorm
from adasise_bench.utils.errors import ConfigError


class Modules(nn.Sequential):
    """TinyVGG's layers, all of them modules, with a pooling to more than one pixel."""

    def __init__(self, bias: bool = True, pool: nn.Module | None = None) -> None:
        widths = [3, 6, 8, 10]
        layers: list[nn.Module] = []
        for i in range(3):
            layers += [
                nn.Conv2d(widths[i], widths[i + 1], 3, padding=1, bias=bias),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        super().__init__(*layers, pool or nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(40, 4, bias=bias))


def modules(**options: object) -> Classifier:
    torch.manual_seed(3)
    return make_classifier(Modules(**options), (), tuple("abcd"))


def residual() -> Classifier:
    """TorchRay's kind of residual network, with its batch normalisations folded."""
    torch.manual_seed(5)
    module = ResNet(Bottleneck, [1, 1, 1, 1], num_classes=4, width_per_group=8)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.2)
            norm.bias.data.normal_(0, 0.3)
    return make_classifier(fold_batchnorm(module.eval()), (), tuple("abcd"))


def drawn() -> Classifier:
    return make_classifier(scenes_vgg.load()[0], (), tuple("abcdef"))


@pytest.mark.parametrize("network", [modules, residual, drawn])
def test_the_epsilon_rule_is_gradient_times_input(network: object, image: torch.Tensor) -> None:
    """In a network of ReLUs, whatever its biases (Ancona et al. 2018), if every sum is seen by zennit."""
    classifier = network()  # type: ignore[operator]
    for target in (0, 3):
        expected = (input_gradients(classifier, image, target) * image)[0]
        found = relevance(classifier, image, target, "epsilon")
        assert float((found - expected).norm() / expected.norm()) < 0.01


@pytest.mark.parametrize("composite", ["epsilon_plus_flat", "epsilon_alpha2_beta1_flat", "epsilon"])
def test_relevance_is_conserved_without_biases(composite: str, image: torch.Tensor) -> None:
    """The first layer's zero padding takes a share under the flat rule only."""
    classifier = modules(bias=False)
    classifier.module[0].padding = (0, 0)
    for target in range(4):
        output = classifier.outputs(image)[0, target]
        total = relevance(classifier, image, target, composite).sum()  # type: ignore[arg-type]
        torch.testing.assert_close(total, output, rtol=0.01, atol=1e-4)


def test_the_epsilon_rule_is_captums(image: torch.Tensor) -> None:
    classifier = modules()
    captum = modules().module.requires_grad_(True)
    for layer in captum:
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.AdaptiveAvgPool2d):
            layer.rule = EpsilonRule(epsilon=1e-6)
        elif isinstance(layer, nn.Flatten):
            layer.rule = EpsilonRule(epsilon=1e-12)
        elif isinstance(layer, nn.ReLU):
            layer.inplace = False
    expected = LRP(captum).attribute(image.clone(), target=2)[0].detach()
    found = relevance(classifier, image, 2, "epsilon")
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=float(expected.abs().max()) * 1e-3)


@pytest.mark.parametrize("negative", [False, True])
def test_the_default_is_what_a_user_gets_from_zennit(image: torch.Tensor, negative: bool) -> None:
    classifier, module = modules(), modules().module
    if negative:
        classifier.module[1] = module[1] = nn.Identity()

    def start(output: torch.Tensor) -> torch.Tensor:
        return output * nn.functional.one_hot(torch.tensor([1]), 4)

    with Gradient(module, EpsilonPlusFlat()) as attributor:
        _, expected = attributor(image.clone(), start)
    assert torch.equal(relevance(classifier, image, 1, "epsilon_plus_flat"), expected[0])
    found = explained("lrp", classifier, image, 1)
    assert torch.equal(found.saliency, expected[0].sum(dim=0).clamp(min=0))
    assert (found.forwards, found.backwards) == (1, 1)


def flat_plus_epsilon(layers: list[nn.Module], image: torch.Tensor, target: int) -> torch.Tensor:
    """ε in the linear layer, z+ in the second convolution, flat in the first: the formulas written out."""
    first, relu, second, flatten, linear = layers
    a1 = relu(first(image))
    a2 = relu(second(a1))
    flat2 = flatten(a2)
    output = linear(flat2)[0, target]
    r2 = (flat2 * linear.weight[target]) * output / (output + 1e-6 * output.sign())
    z = nn.functional.conv2d(a1, second.weight.clamp(min=0), second.bias.clamp(min=0), padding=1)
    share = r2.view_as(a2) / (z + 1e-6)
    r1 = a1 * nn.functional.conv_transpose2d(share, second.weight.clamp(min=0), padding=1)
    ones = torch.ones_like(first.weight)
    count = nn.functional.conv2d(torch.ones_like(image), ones, padding=1)
    return nn.functional.conv_transpose2d(r1 / count, ones, padding=1)[0]


@pytest.mark.parametrize("target", [0, 1, 2, 3])
def test_equals_the_formulas_written_out(image: torch.Tensor, target: int) -> None:
    torch.manual_seed(4)
    layers = [
        nn.Conv2d(3, 5, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(5, 6, 3, padding=1),
        nn.Flatten(),
        nn.Linear(6 * 48 * 40, 4),
    ]
    network = nn.Sequential(*layers[:3], nn.ReLU(), *layers[3:])
    found = relevance(make_classifier(network, (), tuple("abcd")), image, target, "epsilon_plus_flat")
    expected = flat_plus_epsilon(layers, image, target)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=float(expected.abs().max()) * 1e-4)
    saliency = explained("lrp", make_classifier(network, (), tuple("abcd")), image, target).saliency
    torch.testing.assert_close(saliency, found.sum(dim=0).clamp(min=0))


def test_repeatable_pooling_passes_relevance_as_the_pooling_it_replaces(image: torch.Tensor) -> None:
    maps = [
        relevance(modules(pool=pool), image, 1, "epsilon_plus_flat")
        for pool in (nn.AdaptiveAvgPool2d(2), MatrixAveragePool((2, 2)))
    ]
    torch.testing.assert_close(*maps, rtol=1e-3, atol=float(maps[0].abs().max()) * 1e-4)


def test_positions_of_a_convolutional_output_start_with_their_share(image: torch.Tensor) -> None:
    """Averaging the positions in the network, by a pooling, is the same as averaging its output."""
    inside, outside = (
        nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3), *rest)
        for rest in ([nn.AdaptiveAvgPool2d(1), nn.Flatten()], [])
    )
    outside.load_state_dict(inside.state_dict())
    maps = [
        relevance(make_classifier(network, (), tuple("abcd")), image, 1, "epsilon_plus_flat")
        for network in (inside, outside)
    ]
    torch.testing.assert_close(*maps, rtol=1e-3, atol=float(maps[0].abs().max()) * 1e-4)


def test_positive_relevance_is_evidence_whatever_the_sign_of_the_output(image: torch.Tensor) -> None:
    """Where no rule depends on the sign, a lower output moves no pixel from evidence for to against."""
    classifier = modules()
    before = relevance(classifier, image, 1, "epsilon")
    classifier.module[-1].bias[1] -= 2 * classifier.outputs(image)[0, 1]
    after = relevance(classifier, image, 1, "epsilon")
    torch.testing.assert_close(after, before, rtol=1e-2, atol=float(before.abs().max()) * 1e-3)


def test_sees_no_sum_that_is_no_module(image: torch.Tensor) -> None:
    """The limit that the docstring states: a mean by a function passes relevance in equal shares."""
    torch.manual_seed(3)
    tiny = make_classifier(TinyVGG(), (), tuple("abcd"))
    expected = (input_gradients(tiny, image, 0) * image)[0]
    found = relevance(tiny, image, 0, "epsilon")
    assert float((found - expected).norm() / expected.norm()) > 0.1


class Adds(nn.Module):
    """A sum of two branches, written with an operator."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.first(inputs)
        return (maps + self.second(maps)).mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("network", "problem"),
    [
        (Adds, "adds maps up outside torchvision's residual blocks"),
        (lambda: nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), "batch normalisations that fold into"),
    ],
)
def test_networks_without_rules_are_refused(network: object, problem: str, image: torch.Tensor) -> None:
    classifier = make_classifier(network(), (), tuple("abcd"))  # type: ignore[operator]
    before = classifier.outputs(image)
    with pytest.raises(ConfigError, match=problem):
        parse_method("lrp").check(classifier, image)
    assert torch.equal(classifier.outputs(image), before)


@pytest.mark.parametrize("network", [modules, residual, drawn])
def test_networks_with_rules_are_not(network: object, image: torch.Tensor) -> None:
    parse_method("lrp").check(network(), image)  # type: ignore[operator]


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="composite"):
        parse_method({"name": "lrp", "composite": "gamma"})


def test_ignores_precision(image: torch.Tensor) -> None:
    maps = [explained("lrp", replace(modules(), precision=p), image, 0).saliency for p in ("fp32", "bf16")]
    assert torch.equal(*maps)
