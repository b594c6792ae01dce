"""SISE and Ada-SISE against a plain loop reference, and their edge cases."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import reference
import torch
from conftest import explained

from adasise_bench.methods import Request
from adasise_bench.methods.masking import layer_map, score_masks, varying
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.methods.sise.selectors import normalized, threshold
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError
from adasise_bench.utils.step_watch import watched
from adasise_bench.utils.timing import PhaseClock


def explain(
    classifier: Classifier, image: torch.Tensor, target: int, batch_size: int = 16, **options: object
):
    method = parse_method({"name": "sise", **options})
    request = Request(method, image, target)
    return method.explain(with_batch(classifier, batch_size), request, PhaseClock(classifier.device))


def with_batch(classifier: Classifier, size: int) -> Classifier:
    return replace(classifier, batch_size=BatchSize(size))


SELECTORS = [("fixed", 0.0), ("fixed", 0.3), ("printed", 0.0), ("otsu", 0.0), ("log-otsu", 0.0)]


@pytest.mark.parametrize(("selector", "mu"), SELECTORS)
@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_equals_the_plain_reference(
    tiny: Classifier, image: torch.Tensor, selector: str, mu: float, batch_size: int
) -> None:
    expected, _, kept = reference.explain(tiny, image, 2, selector, mu)
    got = explain(tiny, image, 2, batch_size, selector=selector, mu=mu)
    assert got.maps_kept == [sum(block) for block in kept]
    np.testing.assert_allclose(got.saliency.numpy(), expected, atol=1e-5)
    assert expected.max() == 1


def test_layers_and_kept_sets_equal_the_reference_on_the_resnet_layout(resnet_layout: Classifier) -> None:
    selector = "printed"
    image = torch.nn.functional.interpolate(
        torch.randn(1, 3, 9, 8, generator=torch.Generator().manual_seed(2)) * 50, (64, 56), mode="bilinear"
    )
    expected, layers, kept = reference.explain(resnet_layout, image, 7, selector)
    blocks = resnet_layout.block_maps(image, [7])
    values = [normalized(block.gradients[0]) for block in blocks]
    keep = [value > threshold(value, selector) for value in values]  # type: ignore[arg-type]
    assert [k.tolist() for k in keep] == kept
    maps = [block.maps[k] for block, k in zip(blocks, keep, strict=True)]
    for batch_size in (7, 128):
        scored = score_masks(with_batch(resnet_layout, batch_size), image, [m[varying(m)] for m in maps])
        for block, layer in zip(scored, layers, strict=True):
            np.testing.assert_allclose(min_max(layer_map(block, 7, (64, 56))).numpy(), layer, atol=1e-5)
    got = explain(resnet_layout, image, 7, 128, selector=selector)
    np.testing.assert_allclose(got.saliency.numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
def test_a_confident_network_selects_as_in_double_precision(
    tiny: Classifier, image: torch.Tensor, score: str
) -> None:
    """Margins beyond 17 let the float32 softmax round to 1; the selection must not feel it."""
    confident = copy.deepcopy(replace(tiny, score=score))
    confident.module.head.weight.mul_(1200)
    outputs = confident.outputs(image)[0]
    target = int(outputs.argmax())
    if score == "softmax":
        assert float(outputs.softmax(0)[target]) == 1
    expected = reference.gradients(confident, image, target)
    for block, exact in zip(confident.block_maps(image, [target]), expected, strict=True):
        ratio = block.gradients[0] / block.gradients.abs().max()
        torch.testing.assert_close(ratio, exact / exact.abs().max(), atol=1e-5, rtol=0)


def test_soft_fusion_equals_the_reference(tiny: Classifier, image: torch.Tensor) -> None:
    expected, _, _ = reference.explain(tiny, image, 1, "fixed", soft=True)
    got = explain(tiny, image, 1, fusion="soft").saliency.numpy()
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_ada_sise_keeps_a_part_of_sise(tiny: Classifier, image: torch.Tensor) -> None:
    for target in range(4):
        sise = explain(tiny, image, target)
        ada = explained("ada_sise", tiny, image, target)
        assert sise.maps_kept == sise.maps_positive == ada.maps_positive
        assert all(a <= s for a, s in zip(ada.maps_kept, sise.maps_kept, strict=True))
        assert sum(ada.maps_kept) < sum(sise.maps_kept)
        assert all(live <= kept for live, kept in zip(ada.maps_live, ada.maps_kept, strict=True))
        assert ada.forwards < sise.forwards <= 1 + sum(sise.maps_kept)


def test_live_maps_are_a_methods_own_where_several_share_their_masks(tiny: Classifier) -> None:
    picture = torch.zeros(1, 3, 48, 40)
    picture[:, :, 10:20, 5:25] = 80
    torch.nn.init.zeros_(tiny.module.get_submodule("features.0").weight[:3])
    methods = [parse_method(name) for name in ("sise", "ada_sise")]
    requests = [Request(method, picture, target) for method in methods for target in (0, 1)]
    blocks = tiny.block_maps(picture, [0, 1])
    for request, found in zip(requests, methods[0].explain_together(tiny, requests), strict=True):
        alone = request.method.explain(tiny, request, PhaseClock(tiny.device))
        assert found.maps_live == alone.maps_live
        assert found.maps_live[0] < found.maps_kept[0]
        if request.method.name == "sise":
            positive = [block.gradients[request.target] > 0 for block in blocks]
            live = [varying(block.maps) & chosen for block, chosen in zip(blocks, positive, strict=True)]
            assert found.maps_live == [int(one.sum()) for one in live]


def test_counts_the_inputs_it_passes_and_fills_only_the_last_batch(
    tiny: Classifier, image: torch.Tensor
) -> None:
    passed = []
    tiny.module.register_forward_pre_hook(lambda _m, args: passed.append(args[0].detach().clone()))
    got = explain(tiny, image, 0, 5)
    assert sum(int(inputs.flatten(1).any(dim=1).sum()) for inputs in passed) == got.forwards
    assert {len(inputs) for inputs in passed[1:]} == {5}
    assert len(passed) == 1 + -(-(got.forwards - 1) // 5)
    assert got.backwards == 1


def test_all_phases_are_timed(tiny: Classifier, image: torch.Tensor) -> None:
    clock = PhaseClock(tiny.device)
    method = parse_method("sise")
    method.explain(tiny, Request(method, image, 0), clock)
    assert list(clock.phases) == ["feature_maps", "selection", "scoring", "fusion"]


def test_no_positive_gradient_gives_a_zero_map(tiny: Classifier, image: torch.Tensor) -> None:
    torch.nn.init.zeros_(tiny.module.get_submodule("head").weight)
    got = explain(tiny, image, 0)
    assert got.maps_kept == got.maps_positive == got.maps_live == [0, 0, 0]
    assert got.forwards == 1
    assert not got.saliency.any()


def test_constant_maps_are_never_scored(tiny: Classifier) -> None:
    flat = torch.zeros(1, 3, 48, 40)
    torch.nn.init.zeros_(tiny.module.get_submodule("features.0").weight)
    got = explain(tiny, flat, 0)
    blocks = tiny.block_maps(flat, [0])
    kept = sum(int((varying(block.maps) & (block.gradients[0] > 0)).sum()) for block in blocks)
    assert got.forwards == 1 + kept < 1 + sum(got.maps_kept)
    assert got.maps_live == [
        sum(
            float(gradient) > 0 and float(one.max()) > float(one.min())
            for one, gradient in zip(block.maps, block.gradients[0], strict=True)
        )
        for block in blocks
    ]
    assert got.saliency.isfinite().all()


def test_gradients_that_are_not_finite_are_an_error(tiny: Classifier, image: torch.Tensor) -> None:
    torch.nn.init.constant_(tiny.module.get_submodule("head").weight, float("nan"))
    with pytest.raises(BenchError, match="not finite"):
        explain(tiny, image, 0)


def test_leaves_the_network_as_it_was(tiny: Classifier, image: torch.Tensor) -> None:
    tiny.module.requires_grad_(True)
    before = {name: value.clone() for name, value in tiny.module.state_dict().items()}
    explain(tiny, image, 0)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in tiny.module.parameters())
    assert all(torch.equal(before[name], value) for name, value in tiny.module.state_dict().items())
    assert not any(module._forward_hooks for module in tiny.module.modules())


def test_hooks_are_removed_after_an_exception(tiny: Classifier) -> None:
    with pytest.raises(RuntimeError):
        tiny.block_maps(torch.zeros(1, 5, 48, 40), 0)
    assert not any(module._forward_hooks for module in tiny.module.modules())


@pytest.mark.parametrize("score", ["softmax", "sigmoid", "logit"])
def test_every_score_gives_a_map(tiny: Classifier, image: torch.Tensor, score: str) -> None:
    changed = Classifier(**{**tiny.__dict__, "score": score})
    got = explain(changed, image, 3)
    assert got.saliency.shape == (48, 40)
    assert got.saliency.dtype == torch.float32
    assert float(got.saliency.max()) == 1


def test_a_watcher_is_told_every_batch_and_changes_nothing(tiny: Classifier, image: torch.Tensor) -> None:
    told: list[tuple[int, int]] = []
    method = parse_method({"name": "sise"})
    with watched(lambda done, total: told.append((done, total))):
        got = method.explain(with_batch(tiny, 5), Request(method, image, 2), PhaseClock(tiny.device))
    assert torch.equal(got.saliency, explain(tiny, image, 2, 5).saliency)
    masks = got.forwards - 1
    assert told == [(min(done, masks), masks) for done in range(5, masks + 5, 5)]
