"""Extremal Perturbation is TorchRay's, without its side effects."""

from __future__ import annotations

import warnings

import pytest
import torch
from conftest import explained, make_classifier
from torch import nn

from adasise_bench.errors import DeviceError
from adasise_bench.methods import Request, parse_method
from adasise_bench.methods.area_masks import AreaMasks, SmoothMasks
from adasise_bench.models.classifier import Classifier


def explain(classifier: Classifier, image: torch.Tensor, target: int, **options: object):
    return explained({"name": "extremal_perturbation", **options}, classifier, image, target)


def torchray_maps(
    classifier: Classifier, image: torch.Tensor, target: int, **options: object
) -> torch.Tensor:
    from torchray.attribution.extremal_perturbation import extremal_perturbation

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        masks, _ = extremal_perturbation(classifier.module, image, target, **options)
    return masks.sum(dim=0)[0]


@pytest.mark.parametrize("implementation", ["torchray", "batched"])
def test_torchray_preset_equals_torchray(tiny: Classifier, image: torch.Tensor, implementation: str) -> None:
    expected = torchray_maps(
        tiny,
        image,
        1,
        areas=[0.025, 0.05, 0.1, 0.2],
        max_iter=40,
        num_levels=8,
        step=7,
        sigma=21,
        smooth=0.09,
    )
    got = explain(tiny, image, 1, iterations=40, implementation=implementation)
    torch.testing.assert_close(got.saliency, expected, atol=1e-5, rtol=0)
    assert float(got.saliency.std()) > 0
    assert (got.forwards, got.backwards) == (160, 160)
    assert got.maps_kept is None


@pytest.mark.parametrize("implementation", ["torchray", "batched"])
def test_single_area_preset_equals_torchray(
    tiny: Classifier, image: torch.Tensor, implementation: str
) -> None:
    from torchray.attribution.extremal_perturbation import contrastive_reward

    expected = torchray_maps(
        tiny, image, 1, areas=[0.12], max_iter=20, reward_func=contrastive_reward, smooth=0.09
    )
    got = explain(tiny, image, 1, preset="single-area", iterations=20, implementation=implementation)
    torch.testing.assert_close(got.saliency, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("implementation", ["torchray", "batched"])
def test_running_it_first_changes_nothing_for_sise(
    tiny: Classifier, image: torch.Tensor, implementation: str
) -> None:
    tiny.module.requires_grad_(True)
    before = explained("sise", tiny, image, 0).saliency
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(tiny, image, 0, iterations=2, implementation=implementation)
    assert all(parameter.requires_grad for parameter in tiny.module.parameters())
    assert torch.equal(explained("sise", tiny, image, 0).saliency, before)


def test_gradients_are_restored_after_an_exception(image: torch.Tensor) -> None:
    class Broken(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise ArithmeticError

    classifier = make_classifier(Broken(), (), ())
    classifier.module.requires_grad_(True)
    with pytest.raises(ArithmeticError):
        explain(classifier, image, 0, iterations=1, implementation="torchray")
    assert next(classifier.module.parameters()).requires_grad


@pytest.mark.parametrize("options", [{"iterations": 60}, {"preset": "single-area", "iterations": 60}])
def test_side_by_side_equals_alone(tiny: Classifier, image: torch.Tensor, options: dict[str, object]) -> None:
    method = parse_method({"name": "extremal_perturbation", **options})
    images = [image, image.flip(2), image * 0.5]
    requests = [Request(method, one, target) for target, one in enumerate(images)]
    together = method.explain_together(tiny, requests)
    for request, got in zip(requests, together, strict=True):
        alone = explain(tiny, request.image, request.target, **options)
        torch.testing.assert_close(got.saliency, alone.saliency, atol=1e-4, rtol=0)
        assert (got.forwards, got.backwards) == (alone.forwards, alone.backwards)
    assert not torch.allclose(together[0].saliency, together[1].saliency, atol=1e-2)


def test_short_of_memory_it_takes_fewer_at_once(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = parse_method({"name": "extremal_perturbation", "iterations": 5})
    requests = [Request(method, image, target) for target in (0, 1, 2)]
    expected = method.explain_together(tiny, requests)
    made, masks = [], AreaMasks.masks

    def short_of_memory(self: AreaMasks, parameters: torch.Tensor) -> SmoothMasks:
        made.append(len(parameters))
        if len(parameters) > 8:
            raise torch.OutOfMemoryError("planted")
        return masks(self, parameters)

    monkeypatch.setattr(AreaMasks, "masks", short_of_memory)
    got = method.explain_together(tiny, requests)
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.saliency, other.saliency, atol=1e-4, rtol=0)
    assert made == [12, *[4] * 5, *[8] * 5]
    assert tiny.batch_size.value == 8
    tiny.module.register_forward_pre_hook(lambda _m, _i: (_ for _ in ()).throw(torch.OutOfMemoryError("x")))
    with pytest.raises(DeviceError, match="4 inputs do not fit"):
        method.explain_together(tiny, requests[:1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"areas": [0.1, 1.5]}, "shares between 0 and 1"),
        ({"reward": "contrastive"}, "single area"),
        ({"iteration": 5}, "did you mean 'iterations'"),
        ({"preset": "other"}, "preset"),
        ({"step": 8, "sigma": 12}, "multiple of step"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_method({"name": "extremal_perturbation", **options})


@pytest.mark.parametrize("step", [1, 3, 7, 8, 12])
@pytest.mark.parametrize("sigma", [1, 6, 8.4, 12, 21])
def test_masks_that_pass_the_check_cover_every_input_and_others_fail_on_some(step: int, sigma: float) -> None:
    from torchray.attribution.extremal_perturbation import MaskGenerator

    covered = []
    for side in range(24, 24 + step):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            generator = MaskGenerator((side, side), step, sigma)
        covered.append(round(sigma) + side <= generator.shape_out[0])
    try:
        parse_method({"name": "extremal_perturbation", "step": step, "sigma": sigma})
    except ValueError:
        assert not all(covered)
    else:
        assert all(covered)
