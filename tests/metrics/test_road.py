"""ROAD: imputation by a dense solver, the value by hand and against pytorch-grad-cam."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import make_classifier
from test_network_metrics import Weighted

from adasise_bench.data.transforms import Preprocessing
from adasise_bench.metrics import road as module
from adasise_bench.metrics.pixels import pixel_order
from adasise_bench.metrics.registry import METRICS, expected_forwards
from adasise_bench.metrics.road import imputed, road
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError


def shuffled(height: int, width: int, seed: int = 2) -> torch.Tensor:
    """A map without ties."""
    drawn = torch.randperm(height * width, generator=torch.Generator().manual_seed(seed))
    return drawn.view(height, width) / (height * width)


def dense(image: torch.Tensor, removed: torch.Tensor) -> torch.Tensor:
    """The same equations, pixel by pixel, and numpy's solver."""
    height, width = removed.shape
    matrix, right = np.eye(height * width), image[0].double().flatten(1).T.numpy().copy()
    for y in range(height):
        for x in range(width):
            if removed[y, x]:
                around = {
                    (y + dy) * width + x + dx: 1 / 12 if dy and dx else 1 / 6
                    for dy in (-1, 0, 1)
                    for dx in (-1, 0, 1)
                    if (dy or dx) and 0 <= y + dy < height and 0 <= x + dx < width
                }
                for place, weight in around.items():
                    matrix[y * width + x, place] = -weight / sum(around.values())
                right[y * width + x] = 0
    return torch.from_numpy(np.linalg.solve(matrix, right).T.copy()).view(1, 3, height, width)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_imputation_equals_a_dense_solver(image: torch.Tensor, share: float) -> None:
    small = image[..., :9, :7].contiguous()
    removed = shuffled(9, 7) < share
    got = imputed(small, removed)
    torch.testing.assert_close(got.double(), dense(small, removed), atol=1e-4, rtol=1e-5)
    assert torch.equal(got[..., ~removed], small[..., ~removed])


def test_a_plane_is_filled_in_without_a_trace() -> None:
    plane = (3 * torch.arange(8.0)[:, None] - 2 * torch.arange(9.0)).expand(1, 3, 8, 9).contiguous()
    removed = torch.zeros(8, 9, dtype=torch.bool)
    removed[2:6, 3:7] = True
    torch.testing.assert_close(imputed(plane, removed), plane, atol=1e-4, rtol=0)


def test_equals_pytorch_grad_cam(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the noise, which each draws in its own way; with a head whose scores move far enough."""
    library = pytest.importorskip("pytorch_grad_cam.metrics.road")
    tiny.module.head.weight.mul_(20)
    monkeypatch.setattr(module, "NOISE", 0.0)
    monkeypatch.setattr(library.NoisyLinearImputer.__init__, "__defaults__", (0.0, library.neighbors_weights))
    saliency = torch.arange(48.0 * 40).view(48, 40) / (48 * 40)  # from the top to the bottom, without ties
    expected = library.ROADCombined()(
        image, saliency[None].numpy(), [lambda outputs: outputs.softmax(0)[1]], tiny.module
    )[0]
    assert abs(expected) > 0.01
    assert road(tiny, image, 1, pixel_order(saliency)) == pytest.approx(100 * float(expected), abs=2e-4)


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_the_batch_size_does_not_matter(tiny: Classifier, image: torch.Tensor, batch: int) -> None:
    order = pixel_order(shuffled(48, 40))
    other = replace(tiny, batch_size=BatchSize(batch))
    assert road(other, image, 1, order) == pytest.approx(road(tiny, image, 1, order), abs=1e-3)


def test_the_reversed_map_has_the_opposite_value(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = pixel_order(shuffled(48, 40))
    monkeypatch.setattr(module, "NOISE", 0.0)
    value = road(tiny, image, 1, order)
    assert value != 0
    assert road(tiny, image, 1, order.flip(0)) == pytest.approx(-value, abs=1e-5)


def test_it_does_not_depend_on_the_units_of_the_input() -> None:
    """The noise is a share of the range from black to white, whatever that is after preprocessing."""
    pixels = torch.rand(1, 3, 10, 10, generator=torch.Generator().manual_seed(4)) * 255
    weights = torch.randn(3, 10, 10, generator=torch.Generator().manual_seed(5))
    order = pixel_order(shuffled(10, 10))
    values = []
    for scale, std in ((255, 1.0), (1, 1.0), (1, 0.25)):
        preprocessing = Preprocessing(scale, (0.0, 0.0, 0.0), (std, std, std))
        network = make_classifier(
            Weighted(weights / scale * std), (), ("yes", "no"), score="logit", preprocessing=preprocessing
        )
        values.append(road(network, preprocessing(pixels), 0, order))
    assert values[1] == pytest.approx(values[0], rel=1e-4)
    assert values[2] == pytest.approx(values[0], rel=1e-4)


def test_the_noise_is_there_and_repeats_itself(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    order, state = pixel_order(shuffled(48, 40)), torch.get_rng_state()
    noisy = road(tiny, image, 1, order)
    assert road(tiny, image, 1, order) == noisy
    assert torch.equal(torch.get_rng_state(), state)
    monkeypatch.setattr(module, "NOISE", 0.0)
    assert road(tiny, image, 1, order) != noisy


def test_scores_that_are_not_finite_are_an_error(tiny: Classifier, image: torch.Tensor) -> None:
    tiny.module.head.bias.fill_(float("nan"))
    with pytest.raises(BenchError, match="not finite"):
        road(tiny, image, 1, pixel_order(shuffled(48, 40)))


def test_it_passes_the_inputs_that_are_planned(tiny: Classifier, image: torch.Tensor) -> None:
    passed: list[int] = []
    tiny.module.register_forward_pre_hook(lambda _module, args: passed.append(len(args[0])))
    road(replace(tiny, batch_size=BatchSize(1)), image, 1, pixel_order(shuffled(48, 40)))
    assert sum(passed) == expected_forwards(["road"], 224, 7) == 18
    assert METRICS["road"].possible("logit") is not None
