"""Insertion, deletion and the randomised head: by plain loops, in closed form and against Quantus."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import quantus
import torch
from conftest import TinyVGG, explained, make_classifier
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata
from torch import nn

from adasise_bench.methods import Explanation, Method, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.metrics.faithfulness import blurred, deletion, insertion
from adasise_bench.metrics.randomisation import head_sensitivity, randomized_head
from adasise_bench.metrics.registry import METRICS, expected_forwards
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.utils.errors import BenchError, DeviceError
from adasise_bench.utils.timing import PhaseClock


class Weighted(nn.Module):
    """Two outputs, the first the sum of the input's pixels times weights."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = nn.Parameter(weights)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        total = (inputs * self.weights).sum(dim=(1, 2, 3))
        return torch.stack([total, -total], dim=1)


def weighted(weights: torch.Tensor, batch: int = 16) -> Classifier:
    return make_classifier(Weighted(weights), (), ("yes", "no"), score="logit", batch_size=BatchSize(batch))


def request(image: torch.Tensor, target: int = 0, entry: object = "sise") -> Request:
    return Request(parse_method(entry), image, target)


def again(asked: Request) -> Callable[[Classifier, torch.Tensor], torch.Tensor]:
    """Explains the same for another network or input."""
    return lambda classifier, image: (
        asked.method.explain(classifier, asked._replace(image=image), PhaseClock(classifier.device)).saliency
    )


def scattered(shape: tuple[int, ...] = (48, 40), seed: int = 6) -> torch.Tensor:
    """A map with ties."""
    return torch.randint(0, 300, shape, generator=torch.Generator().manual_seed(seed)) / 300


def curve(
    classifier: Classifier, image: torch.Tensor, target: int, saliency: torch.Tensor, finish: torch.Tensor
) -> list[float]:
    """Ψ while H pixels at a time become those of ``finish``, one forward each."""
    height, width = saliency.shape
    values = saliency.flatten().tolist()
    order = sorted(range(len(values)), key=lambda pixel: (-values[pixel], pixel))
    current, scores = image.clone(), []
    for step in range(width + 1):
        scores.append(float(classifier.scores(current)[0, target]))
        for pixel in order[step * height : (step + 1) * height]:
            row, column = divmod(pixel, width)
            current[..., row, column] = finish[..., row, column]
    assert torch.equal(current, finish)
    return scores


@pytest.mark.parametrize("batch", [1, 7, 41, 64])
@pytest.mark.parametrize("score", ["softmax", "sigmoid", "logit"])
def test_equal_plain_loops_at_any_batch_size(
    tiny: Classifier, image: torch.Tensor, batch: int, score: str
) -> None:
    classifier = replace(tiny, batch_size=BatchSize(batch), score=score)
    saliency, soft = scattered(), blurred(image)
    for metric, start, finish in (
        (deletion, image, torch.zeros_like(image)),
        (insertion, soft, image),
    ):
        wanted = 100 * np.trapezoid(curve(classifier, start, 1, saliency, finish), dx=1 / 40)
        assert metric(classifier, image, 1, saliency) == pytest.approx(wanted, abs=1e-3)


def test_deletion_equals_quantus(tiny: Classifier, image: torch.Tensor) -> None:
    grey = image[:, :1, :40, :40].contiguous()
    saliency = torch.randperm(1600, generator=torch.Generator().manual_seed(2)).view(40, 40) / 1600

    class Grey(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return tiny.module(inputs.expand(-1, 3, -1, -1))

    flipping = quantus.PixelFlipping(
        features_in_step=40, perturb_baseline=0.0, normalise=False, abs=False, disable_warnings=True
    )
    after = flipping(
        model=Grey().eval(),
        x_batch=grey.numpy(),
        y_batch=np.array([3]),
        a_batch=saliency.numpy()[None, None],
        softmax=True,
        channel_first=True,
    )[0]
    coloured = grey.expand(-1, 3, -1, -1).contiguous()
    scores = [float(tiny.scores(coloured)[0, 3]), *map(float, after)]
    assert len(scores) == 41
    assert deletion(tiny, coloured, 3, saliency) == pytest.approx(
        100 * np.trapezoid(scores, dx=1 / 40), abs=1e-3
    )


def test_deletion_in_closed_form() -> None:
    image = torch.ones(1, 3, 6, 10)
    assert deletion(weighted(torch.full((3, 6, 10), 1 / 180)), image, 0, scattered((6, 10))) == (
        pytest.approx(50)
    )
    weights = torch.zeros(3, 6, 10)
    weights[0, 4, 7] = 1
    for seed in range(6):
        ranks = torch.randperm(60, generator=torch.Generator().manual_seed(seed)).view(6, 10)
        steps = int(ranks[4, 7]) // 6 + 1  # the score is 1 before as many steps and 0 after them
        wanted = 100 * (steps - 0.5) / 10
        assert deletion(weighted(weights), image, 0, 59.0 - ranks) == pytest.approx(wanted)


def test_insertion_in_closed_form() -> None:
    image = torch.zeros(1, 3, 20, 30)
    image[..., 10, 15] = 2
    weights = torch.zeros(3, 20, 30)
    weights[0, 10, 15] = 1
    saliency = torch.zeros(20, 30)
    saliency[10, 15] = 1
    soft = float(blurred(image)[0, 0, 10, 15])
    assert 0 < soft < 2 / 50
    first = 100 * (2 - (2 - soft) / 2 / 30)
    assert insertion(weighted(weights), image, 0, saliency) == pytest.approx(first)
    last = 100 * (soft + (2 - soft) / 2 / 30)
    assert insertion(weighted(weights), image, 0, 1 - saliency) == pytest.approx(last)


def test_equal_pixels_go_in_row_major_order() -> None:
    image, weights = torch.ones(1, 3, 6, 10), torch.zeros(3, 6, 10)
    weights[1, 2, 1] = 1  # pixel 21, in the fourth step
    assert deletion(weighted(weights), image, 0, torch.zeros(6, 10)) == pytest.approx(35)


def test_the_blur_is_rises() -> None:
    """A Gaussian that reaches 20 pixels, folded back at the kernel's border; zeros beyond the picture."""
    line = np.zeros(11)
    weights = [math.exp(-(offset**2) / 50) for offset in range(-20, 21)]
    for offset, weight in zip(range(-20, 21), weights, strict=True):
        place = (5 + offset) % 22
        line[min(place, 21 - place)] += weight / sum(weights)
    image = torch.randn(1, 3, 13, 17, generator=torch.Generator().manual_seed(1))
    padded = np.pad(image[0].numpy(), ((0, 0), (5, 5), (5, 5)))
    soft = blurred(image)
    assert soft.shape == image.shape
    for channel, row, column in [(0, 0, 0), (1, 6, 8), (2, 12, 3), (0, 12, 16)]:
        patch = padded[channel, row : row + 11, column : column + 11]
        assert float(soft[0, channel, row, column]) == pytest.approx(float(line @ patch @ line), abs=1e-6)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**20), st.floats(0.1, 5))
def test_only_the_order_of_pixels_counts_and_the_best_order_bounds_all(seed: int, factor: float) -> None:
    weights = torch.rand(3, 6, 10, generator=torch.Generator().manual_seed(seed))
    image, saliency = torch.ones(1, 3, 6, 10), scattered((6, 10), seed)
    classifier = weighted(weights / weights.sum())
    area = deletion(classifier, image, 0, saliency)
    assert deletion(classifier, image, 0, (saliency * 2).exp()) == pytest.approx(area, abs=1e-4)
    assert 0 <= area <= 100
    best = weights.sum(dim=0)
    assert deletion(classifier, image, 0, best) <= area + 1e-4
    assert deletion(classifier, image, 0, 3 - best) >= area - 1e-4
    assert deletion(classifier, image * factor, 0, saliency) == pytest.approx(factor * area, rel=1e-4)


def test_scarce_memory_halves_the_batch_and_changes_nothing(tiny: Classifier, image: torch.Tensor) -> None:
    calm = insertion(tiny, image, 0, scattered())

    def refuse(_module: nn.Module, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > 4:
            raise RuntimeError("can't allocate memory")

    tiny.module.register_forward_pre_hook(refuse)
    assert insertion(tiny, image, 0, scattered()) == pytest.approx(calm, abs=1e-3)
    assert tiny.batch_size.value == 4
    fixed = replace(tiny, batch_size=BatchSize(8, fixed=True))
    with pytest.raises(DeviceError, match="8 inputs do not fit"):
        insertion(fixed, image, 0, scattered())


def test_every_pass_has_a_whole_batch(tiny: Classifier, image: torch.Tensor) -> None:
    sizes: list[int] = []
    tiny.module.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    deletion(tiny, image, 0, scattered())
    assert sizes == [16, 16, 16]  # 41 pictures


@pytest.mark.parametrize("name", ["insertion", "deletion"])
def test_scores_that_are_not_finite_are_errors(image: torch.Tensor, name: str) -> None:
    weights = torch.ones(3, 48, 40)
    weights[0, 5, 5] = float("nan")
    with pytest.raises(BenchError, match="not finite"):
        METRICS[name].load()(weighted(weights), image, 0, scattered())


class Nested(TinyVGG):
    """A head inside of others, with a layer without parameters behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(10, 7), nn.ReLU(), nn.Sequential(nn.Linear(7, 4), nn.Identity()))  # type: ignore[assignment]


class Convolutional(TinyVGG):
    """A head that slides over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Conv2d(10, 4, 1)  # type: ignore[assignment]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x / 60))


@pytest.mark.parametrize(
    ("module", "head"), [(TinyVGG, "head"), (Nested, "head.2.0"), (Convolutional, "head")]
)
def test_only_the_last_layer_is_drawn_anew(module: type[nn.Module], head: str, image: torch.Tensor) -> None:
    torch.manual_seed(3)
    classifier = make_classifier(module(), ("features.1", "features.4"), tuple("abcd"))
    before, state = copy.deepcopy(classifier.module.state_dict()), torch.get_rng_state()
    scores = classifier.scores(image)
    other = randomized_head(classifier.with_engine(Engine("contiguous", 16, "torch-compile")), image)
    assert other.backend is None
    assert torch.equal(torch.get_rng_state(), state)
    ours, theirs = dict(classifier.module.named_parameters()), dict(other.module.named_parameters())
    assert list(ours) == list(theirs)
    for name, parameter in theirs.items():
        if name.rpartition(".")[0] == head:
            assert parameter.data_ptr() != ours[name].data_ptr()
            assert not torch.equal(parameter, ours[name])
            assert 0.3 < float(parameter.std() / ours[name].std()) < 3
        else:
            assert parameter is ours[name]
        assert not parameter.requires_grad
    assert not other.module.training
    assert not torch.allclose(other.scores(image), scores)
    assert torch.equal(randomized_head(classifier, image).scores(image), other.scores(image))
    assert torch.equal(classifier.scores(image), scores)
    assert all(torch.equal(before[name], value) for name, value in classifier.module.state_dict().items())


def test_the_draw_is_normal_with_the_parameters_own_spread(
    resnet_layout: Classifier, image: torch.Tensor
) -> None:
    ours, drawn = resnet_layout.module.fc, randomized_head(resnet_layout, image).module.fc
    assert drawn.weight.shape == ours.weight.shape
    assert float(drawn.weight.std()) == pytest.approx(float(ours.weight.std()), rel=0.02)
    assert abs(float(drawn.weight.mean())) < 0.02 * float(ours.weight.std())
    normal = float((drawn.weight.abs() < ours.weight.std()).double().mean())
    assert normal == pytest.approx(0.6827, abs=0.01)


class HeadFirst(TinyVGG):
    """Registers its head before its body."""

    def __init__(self) -> None:
        super().__init__()
        self._modules = dict(sorted(self._modules.items(), reverse=True))


def test_the_head_is_the_layer_that_runs_last(image: torch.Tensor) -> None:
    torch.manual_seed(3)
    classifier = make_classifier(HeadFirst(), ("features.1",), tuple("abcd"))
    assert [name for name, _ in classifier.module.named_children()] == ["head", "features"]
    other = randomized_head(classifier, image)
    assert other.module.features[0].weight is classifier.module.features[0].weight
    assert other.module.head.weight is not classifier.module.head.weight


def test_a_network_whose_copy_is_itself_is_refused(tiny: Classifier, image: torch.Tensor) -> None:
    original = copy.deepcopy(tiny.module)
    tiny.module.forward = lambda inputs: tiny.module.head(original.features(inputs / 60).mean(dim=(2, 3)))
    with pytest.raises(BenchError, match="outputs do not change with the layer 'head'"):
        randomized_head(tiny, image)


def test_head_sensitivity_by_hand(tiny: Classifier, image: torch.Tensor) -> None:
    saliency = explained("sise", tiny, image, 2).saliency
    other = copy.deepcopy(tiny.module)
    generator = torch.Generator().manual_seed(0)
    for parameter in (other.head.weight, other.head.bias):
        deviation = float((parameter - parameter.mean()).square().mean().sqrt())
        parameter.copy_(torch.randn(parameter.shape, generator=generator) * deviation)
    second = explained("sise", replace(tiny, module=other), image, 2).saliency
    wanted = np.corrcoef(rankdata(saliency.numpy().ravel()), rankdata(second.numpy().ravel()))[0, 1]
    found = head_sensitivity(tiny, image, saliency, again(request(image, 2)))
    assert found == pytest.approx(wanted)
    assert found is not None
    assert abs(found) < 0.999


def test_a_random_head_is_not_run_in_int8(tiny: Classifier, image: torch.Tensor) -> None:
    other, exact = (randomized_head(one, image) for one in (replace(tiny, precision="int8"), tiny))
    assert torch.equal(
        explained("sise", other, image, 2).saliency, explained("sise", exact, image, 2).saliency
    )


class Fixed(Method):
    """Ignores the network."""

    name: Literal["fixed"] = "fixed"

    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        return Explanation(scattered(seed=request.seed), 0, 0)


class Broken(Fixed):
    def explain(self, classifier: Classifier, request: Request, clock: PhaseClock) -> Explanation:
        return Explanation(torch.full((48, 40), float("nan")), 0, 0)


def test_a_method_that_ignores_the_network_has_correlation_1(tiny: Classifier, image: torch.Tensor) -> None:
    same = Request(Fixed(), image, 0, seed=5)
    assert head_sensitivity(tiny, image, scattered(seed=5), again(same)) == pytest.approx(1)
    assert head_sensitivity(tiny, image, 1 - scattered(seed=5), again(same)) == pytest.approx(-1)
    assert head_sensitivity(tiny, image, torch.zeros(48, 40), again(same)) is None


def test_a_second_map_that_is_not_finite_is_an_error(tiny: Classifier, image: torch.Tensor) -> None:
    with pytest.raises(BenchError, match="randomised head"):
        head_sensitivity(tiny, image, scattered(), again(Request(Broken(), image, 0)))


def test_forwards_are_foreseen(tiny: Classifier, image: torch.Tensor) -> None:
    assert expected_forwards([], 224, 1000) == 0
    assert expected_forwards(["insertion", "deletion"], 224, 1000) == 450
    assert expected_forwards(["head_sensitivity"], 224, 1000) == 1000
