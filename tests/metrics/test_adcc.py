"""ADCC against pytorch-grad-cam's coherency and complexity, by hand, and at its ends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from conftest import explained
from scipy.stats import pearsonr

from adasise_bench.metrics.adcc import adcc
from adasise_bench.metrics.registry import METRICS, expected_forwards, scored_inputs
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError

Explain = Callable[[Classifier, torch.Tensor], torch.Tensor]


def grad_cam(classifier: Classifier, image: torch.Tensor, target: int = 2) -> torch.Tensor:
    return explained("grad_cam", classifier, image, target).saliency


def value(
    classifier: Classifier, image: torch.Tensor, saliency: torch.Tensor, explain: Explain
) -> float | None:
    score = float(classifier.scores(image)[0, 2])
    return adcc(classifier, image, 2, saliency, score, explain)


def test_equals_pytorch_grad_cam(tiny: Classifier, image: torch.Tensor) -> None:
    """Coherency and complexity are the library's; the drop and the harmonic mean are written out."""
    library = pytest.importorskip("pytorch_grad_cam.metrics.arcc")
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets, layer = [ClassifierOutputTarget(2)], tiny.module.get_submodule("features.7")
    with torch.enable_grad(), GradCAM(model=tiny.module, target_layers=[layer]) as peer:
        wanted = image.clone().requires_grad_()
        first = peer(wanted, targets)
        coherency = library.Coherency()(wanted, first, targets, tiny.module, peer)[0]
    complexity = library.Complexity()(first)[0]
    whole, shown = tiny.scores(torch.cat([image, image * torch.from_numpy(first)]))[:, 2].tolist()
    drop = max(0.0, whole - shown) / whole
    assert 0 < drop < 1
    expected = 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop))
    found = value(tiny, image, grad_cam(tiny, image), grad_cam)
    assert found == pytest.approx(100 * float(expected), abs=1e-2)


def test_equals_plain_numpy(tiny: Classifier, image: torch.Tensor) -> None:
    saliency = torch.rand(48, 40, generator=torch.Generator().manual_seed(1)) + 3
    mask = ((saliency - saliency.min()) / (saliency.max() - saliency.min())).numpy()
    masked = image * torch.from_numpy(mask)
    rho = pearsonr(mask.ravel().astype(float), grad_cam(tiny, masked).numpy().ravel().astype(float))[0]
    whole, shown = float(tiny.scores(image)[0, 2]), float(tiny.scores(masked)[0, 2])
    parts = (1 + rho) / 2, 1 - mask.mean(), 1 - max(0, whole - shown) / whole
    found = value(tiny, image, saliency, grad_cam)
    assert found == pytest.approx(300 / np.sum(1 / np.array(parts)), rel=1e-5)


def test_a_map_that_contradicts_itself_gets_nothing(tiny: Classifier, image: torch.Tensor) -> None:
    saliency = grad_cam(tiny, image)
    assert value(tiny, image, saliency, lambda *_: saliency.max() - saliency) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize("which", ["first", "second"])
def test_flat_maps_have_no_value(tiny: Classifier, image: torch.Tensor, which: str) -> None:
    flat, saliency = torch.ones(48, 40), grad_cam(tiny, image)
    pair = (flat, saliency) if which == "first" else (saliency, flat)
    assert value(tiny, image, pair[0], lambda *_: pair[1]) is None


def test_a_second_map_that_is_not_finite_is_an_error(tiny: Classifier, image: torch.Tensor) -> None:
    saliency = grad_cam(tiny, image)
    with pytest.raises(BenchError, match="not finite"):
        value(tiny, image, saliency, lambda *_: saliency * float("nan"))


def test_the_method_explains_the_masked_input(tiny: Classifier, image: torch.Tensor) -> None:
    seen: list[tuple[Classifier, torch.Tensor]] = []
    saliency = grad_cam(tiny, image)

    def explain(classifier: Classifier, masked: torch.Tensor) -> torch.Tensor:
        seen.append((classifier, masked))
        return saliency

    value(tiny, image, saliency, explain)
    ((network, masked),) = seen
    assert network is tiny
    low, high = saliency.min(), saliency.max()
    torch.testing.assert_close(masked, image * ((saliency - low) / (high - low)))


def test_it_is_planned_as_another_explanation() -> None:
    assert expected_forwards(["adcc"], 224, 7) == 7
    assert scored_inputs(["adcc"], 224, range(3, 9)) == [range(3, 9)]
    assert METRICS["adcc"].possible("logit") is None
