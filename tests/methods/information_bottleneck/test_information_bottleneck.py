"""The Per-Sample Bottleneck against a plain reference in double precision, closed forms and its promises."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from conftest import TinyVGG, explained, make_classifier
from torch import nn
from torch.distributions import Normal, kl_divergence
from torchvision.transforms.functional import gaussian_blur

from adasise_bench.methods import Request
from adasise_bench.methods.information_bottleneck.information_bottleneck import (
    information,
    mirrored_gaussian,
    mixed,
)
from adasise_bench.methods.information_bottleneck.layer_statistics import (
    LayerStatistics,
    layer_output,
    layer_statistics,
)
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError, ConfigError
from adasise_bench.utils.step_watch import watched
from adasise_bench.utils.timing import PhaseClock

CPU = torch.device("cpu")
ENTRY = {"name": "information_bottleneck", "pictures": 2}
LAYER = "features.4"


def statistics(*channels: tuple[float, float, float]) -> LayerStatistics:
    return LayerStatistics(*torch.tensor(channels).T[:, :, None, None])


def blur(length: int) -> torch.Tensor:
    """The smoothing along one axis as a matrix, written out: Gaussian of σ 1 on 5 positions, mirrored."""
    matrix = torch.zeros(length, length, dtype=torch.float64)
    weights = np.exp(-0.5 * np.arange(-2, 3) ** 2)
    for row in range(length):
        for offset, weight in zip(range(-2, 3), weights / weights.sum(), strict=True):
            column = abs(row + offset)
            matrix[row, column if column < length else 2 * (length - 1) - column] += weight
    return matrix


def reference(
    classifier: Classifier, image: torch.Tensor, target: int, seed: int, iterations: int
) -> torch.Tensor:
    """Bits per position of the layer, by Adam written out, in double precision."""
    found = layer_statistics(classifier, LAYER, "scenes", 2, 40)
    mean, std = found.mean.double(), found.std.double().clamp(min=0.01)
    module = copy.deepcopy(classifier.module).double()
    r = layer_output(replace(classifier, module=module), LAYER, image.double())
    noise = torch.Generator().manual_seed(seed)
    alpha = torch.full_like(r, 5.0)
    first, second = torch.zeros_like(r), torch.zeros_like(r)
    rows, columns = blur(r.shape[2]), blur(r.shape[3])
    for step in range(1, iterations + 1):
        alpha.requires_grad_()
        rest = rows @ torch.sigmoid(-alpha) @ columns.T
        nats = kl_divergence(Normal((1 - rest) * r + rest * mean, rest * std), Normal(mean, std))
        if step == iterations:
            return (nats.detach().sum(dim=1)[0] / math.log(2)).float()
        epsilon = torch.randn(10, *r.shape[1:], generator=noise).double() * std + mean
        restricted = (1 - rest) * r + rest * epsilon
        hook = module.get_submodule(LAYER).register_forward_hook(lambda *_, z=restricted: z)
        entropy = F.cross_entropy(module(image.double().expand(10, -1, -1, -1)), torch.full((10,), target))
        hook.remove()
        (gradient,) = torch.autograd.grad(entropy + 10 * nats.mean(), alpha)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        direction = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        alpha = (alpha - direction).detach()
    raise AssertionError


@pytest.mark.parametrize("iterations", [2, 10])
def test_equals_the_plain_reference(tiny: Classifier, image: torch.Tensor, iterations: int) -> None:
    bits = reference(tiny, image, 2, 7, iterations)
    expected = F.interpolate(bits[None, None], (48, 40), mode="bilinear", align_corners=False)[0, 0]
    expected = expected * bits.numel() / (48 * 40)
    got = explained(ENTRY | {"iterations": iterations}, tiny, image, 2, seed=7)
    assert float(expected.max()) > 1.5 * float(expected.min())
    torch.testing.assert_close(got.saliency, expected, atol=float(1e-3 * expected.max()), rtol=0)
    assert got.forwards == got.backwards == 10 * (iterations - 1)
    assert parse_method(ENTRY | {"iterations": iterations}).expected_forwards((1,)) == got.forwards


def test_information_is_the_divergence_of_normal_distributions() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(1, 4, 3, 5, generator=generator) * 3
    hidden = torch.rand(1, 4, 3, 5, generator=generator) * 0.98 + 0.01
    given = statistics((0.3, 2.0, 1.0), (-1.0, 0.5, 0.02), (4.0, 0.001, 1.0), (0.0, 1.0, 0.01))
    std = torch.tensor([2.0, 0.5, 0.01, 1.0])[:, None, None]
    restricted = Normal((1 - hidden) * maps + hidden * given.mean, hidden * std)
    expected = kl_divergence(restricted, Normal(given.mean, std.expand(4, 3, 5)))
    expected[:, 3] = 0
    torch.testing.assert_close(information(maps, hidden, given), expected, rtol=1e-4, atol=1e-4)


def test_everything_hidden_carries_nothing() -> None:
    hidden = torch.ones(1, 1, 2, 2)
    assert not information(torch.randn(1, 1, 2, 2), hidden, statistics((0.0, 1.0, 1.0))).any()


def test_mixing_gives_the_distribution_whose_information_is_measured() -> None:
    maps, hidden = torch.tensor([5.0, -2.0, 3.0]), torch.tensor([0.25, 0.9, 0.5])
    given = statistics((1.0, 2.0, 1.0), (-1.0, 0.5, 1.0), (7.0, 1.0, 0.0))
    shape = (1, 3, 1, 1)
    drawn = mixed(maps.view(shape), hidden.view(shape), given, 40000, torch.Generator().manual_seed(3))[
        ..., 0, 0
    ]
    torch.testing.assert_close(drawn.mean(dim=0), torch.tensor([4.0, -1.1, 0.0]), atol=0.02, rtol=0)
    torch.testing.assert_close(drawn.std(dim=0), torch.tensor([0.5, 0.45, 0.0]), atol=0.02, rtol=0)


def test_a_single_iteration_measures_the_first_alpha(tiny: Classifier, image: torch.Tensor) -> None:
    got = explained(ENTRY | {"iterations": 1, "alpha": -3.0, "layer": "features.1"}, tiny, image, 0)
    rest = torch.full((1, 6, 48, 40), 1 / (1 + math.exp(-3)))
    nats = information(
        layer_output(tiny, "features.1", image), rest, layer_statistics(tiny, "features.1", "scenes", 2, 40)
    )
    torch.testing.assert_close(got.saliency, nats.sum(dim=1)[0] / math.log(2), rtol=1e-4, atol=1e-4)
    assert got.forwards == 0


def test_what_the_network_ignores_ends_with_less_information() -> None:
    """The head reads the right half of the layer only; the left half's values are as large."""

    class RightHalf(TinyVGG):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(self.features[:5](x / 60)[..., 5:].flatten(1))

    torch.manual_seed(3)
    module = RightHalf()
    module.head = nn.Linear(8 * 12 * 5, 2)
    classifier = make_classifier(module, ("features.4",), ("a", "b"))
    half = torch.randn(1, 3, 24, 10, generator=torch.Generator().manual_seed(1)) * 60
    image = torch.cat([half, half], dim=3)
    saliency = explained(ENTRY | {"beta": 0.1}, classifier, image, 1).saliency
    assert float(saliency[:, 12:].mean()) > 3 * float(saliency[:, :8].mean())


def test_only_the_seed_and_the_request_decide(tiny: Classifier, image: torch.Tensor) -> None:
    before = torch.get_rng_state()
    first = explained(ENTRY, tiny, image, 1, seed=4).saliency
    explained(ENTRY, tiny, image.flip(3), 3, seed=9)
    assert torch.equal(explained(ENTRY, tiny, image, 1, seed=4).saliency, first)
    assert not torch.equal(explained(ENTRY, tiny, image, 1, seed=5).saliency, first)
    assert not torch.equal(explained(ENTRY, tiny, image, 2, seed=4).saliency, first)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.dtype == torch.float32
    assert float(first.min()) >= 0


def test_other_weights_get_statistics_of_their_own(tiny: Classifier, image: torch.Tensor) -> None:
    other = replace(tiny, module=copy.deepcopy(tiny.module))
    explained(ENTRY, tiny, image, 1)
    for classifier in (tiny, other):
        with torch.no_grad():
            classifier.module.get_submodule("features.0").weight.mul_(-1.5)
    assert torch.equal(explained(ENTRY, tiny, image, 1).saliency, explained(ENTRY, other, image, 1).saliency)


def test_layers_before_the_bottleneck_see_one_input(tiny: Classifier, image: torch.Tensor) -> None:
    explained(ENTRY, tiny, image, 0)
    seen: dict[str, list[int]] = {"features.0": [], "features.6": []}
    for name, sizes in seen.items():
        tiny.module.get_submodule(name).register_forward_pre_hook(
            lambda _module, inputs, sizes=sizes: sizes.append(len(inputs[0]))
        )
    explained(ENTRY | {"iterations": 4, "samples": 6}, tiny, image, 0)
    assert seen == {"features.0": [1] * 4, "features.6": [6] * 3}


def test_leaves_the_network_as_it_was(tiny: Classifier, image: torch.Tensor) -> None:
    tiny.module.requires_grad_(True)
    before = {name: value.clone() for name, value in tiny.module.state_dict().items()}
    explained(ENTRY, tiny, image, 0)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in tiny.module.parameters())
    assert all(torch.equal(before[name], value) for name, value in tiny.module.state_dict().items())
    hook = tiny.module.get_submodule("head").register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        explained(ENTRY, tiny, image, 0)
    hook.remove()
    assert not any(module._forward_hooks for module in tiny.module.modules())


@pytest.mark.parametrize("score", ["softmax", "sigmoid", "logit"])
def test_every_score_gives_a_map(tiny: Classifier, image: torch.Tensor, score: str) -> None:
    got = explained(ENTRY, replace(tiny, score=score), image, 3).saliency
    assert got.isfinite().all()
    assert (score == "sigmoid") != torch.equal(got, explained(ENTRY, tiny, image, 3).saliency)


def test_a_flat_network_gives_a_map(tiny: Classifier, image: torch.Tensor) -> None:
    for parameter in tiny.module.parameters():
        nn.init.zeros_(parameter)
    got = explained(ENTRY, tiny, image, 3).saliency
    assert got.shape == (48, 40)
    assert not got.any()


def test_phase_and_watcher(tiny: Classifier, image: torch.Tensor) -> None:
    method, clock = parse_method(ENTRY), PhaseClock(CPU)
    told: list[tuple[int, int]] = []
    with watched(lambda done, total: told.append((done, total))):
        method.explain(tiny, Request(method, image, 0), clock)
    assert list(clock.phases) == ["optimisation"]
    assert told == [(done, 9) for done in range(1, 10)]


def test_the_network_decides_the_layer() -> None:
    named = {"vgg16": "features.17", "resnet50": "layer2", "other": "c"}
    method = parse_method(ENTRY)
    for name, layer in named.items():
        classifier = make_classifier(TinyVGG(), tuple("abcde"), ("x",), name=name)
        assert method._layer(classifier) == layer  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "features.99"}, ConfigError, r"information_bottleneck\.layer: tiny has no module"),
        ({"layer": "head"}, ConfigError, "'head' gives no feature maps"),
        ({"layer": "features.8", "sigma": 3.0}, BenchError, "maps of 5x6 are too small"),
        ({"layer": "unused"}, ConfigError, "'unused' is not used"),
    ],
)
def test_layers_that_cannot_be_used(
    tiny: Classifier, image: torch.Tensor, options: dict[str, object], error: type[BenchError], message: str
) -> None:
    tiny.module.unused = nn.Identity()
    with pytest.raises(error, match=message):
        explained(ENTRY | options, tiny, image, 0)


def test_maps_that_are_not_finite_are_an_error(tiny: Classifier, image: torch.Tensor) -> None:
    nn.init.constant_(tiny.module.get_submodule("head").weight, float("nan"))
    with pytest.raises(BenchError, match="not finite"):
        explained(ENTRY, tiny, image, 0)


@pytest.mark.parametrize(
    ("sigma", "radius", "size"),
    [(1.0, 2, (14, 9)), (1.0, 2, (3, 4)), (2.3, 5, (6, 11)), (20.0, 40, (41, 56))],
)
def test_smoothing_by_matrices_is_torchvisions_blur(sigma: float, radius: int, size: tuple[int, int]) -> None:
    maps = torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(0))
    rows, columns = (mirrored_gaussian(length, sigma, radius, CPU) for length in size)
    expected = gaussian_blur(maps, [2 * radius + 1] * 2, [sigma] * 2)
    torch.testing.assert_close(rows @ maps @ columns.T, expected, atol=5e-6, rtol=0)


def test_no_padding_by_reflection_takes_part(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its gradient cannot be repeated on a GPU (torch 2.8), so that a deterministic run would be refused."""

    def refuse(*_arguments: object, mode: str = "constant", **_options: object) -> None:
        assert mode != "reflect"

    monkeypatch.setattr(F, "pad", refuse)
    monkeypatch.setattr("torchvision.transforms._functional_tensor.torch_pad", refuse)
    assert explained(ENTRY, tiny, image, 0).saliency.isfinite().all()
