"""Extremal Perturbation is TorchRay's, without its side effects."""

from __future__ import annotations

import warnings
from contextlib import nullcontext
from dataclasses import replace

import pytest
import recorded_graph
import torch
from conftest import explained, make_classifier
from torch import nn

from adasise_bench.methods import Request
from adasise_bench.methods.custom.custom import custom_definitions
from adasise_bench.methods.extremal_perturbation import area_constraint, extremal_perturbation
from adasise_bench.methods.extremal_perturbation.fused_masks import FusedMasks
from adasise_bench.methods.extremal_perturbation.smooth_masks import AreaMasks, SmoothMasks
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.models import replay
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import DeviceError
from adasise_bench.utils.step_watch import watched


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
    assert tiny.batch_size.with_gradients.value == 8
    assert tiny.batch_size.value == 16
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
        ({"areas_of": "picture", "implementation": "torchray"}, "knows its frame only"),
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


@pytest.fixture
def _captured(monkeypatch: pytest.MonkeyPatch) -> None:
    """CUDA graphs, played on the CPU."""
    monkeypatch.setattr(extremal_perturbation, "is_capturable", lambda _module, _device: True)
    monkeypatch.setattr(replay, "side_stream", lambda _device: nullcontext())
    monkeypatch.setattr(replay, "capture", recorded_graph.capture)
    monkeypatch.setattr(replay.RepeatedSteps, "_given_up", False)


@pytest.mark.usefixtures("_captured")
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"jitter": False},
        {"preset": "single-area", "areas_of": "picture"},
        {"step": 3, "sigma": 6.0, "smooth": 0},
    ],
)
def test_replayed_graphs_give_the_plain_loops_bits(
    options: dict[str, object], tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[int] = []
    tiny.module.register_forward_pre_hook(lambda _module, inputs: passes.append(len(inputs[0])))
    ticks: list[tuple[int, int]] = []
    method = parse_method({"name": "extremal_perturbation", "iterations": 70, **options})
    requests = [Request(method, image, 1), Request(method, image.flip(2), 2)]
    with watched(lambda done, total: ticks.append((done, total))):
        replayed = method.explain_together(tiny, requests)
    assert len(passes) < 20
    assert ticks == [(done, 69) for done in range(1, 70)]
    monkeypatch.setattr(extremal_perturbation, "is_capturable", lambda _module, _device: False)
    plain = method.explain_together(tiny, requests)
    assert len(passes) > 138
    for one, other in zip(replayed, plain, strict=True):
        assert torch.equal(one.saliency, other.saliency)
    assert not torch.equal(plain[0].saliency, plain[1].saliency)


@pytest.mark.usefixtures("_captured")
def test_a_network_that_cannot_be_captured_is_explained_plainly(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = explain(tiny, image, 1, iterations=60).saliency

    def failing(steps: object, _device: object) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    replay._tell.cache_clear()
    monkeypatch.setattr(replay, "capture", failing)
    got = explain(tiny, image, 1, iterations=60).saliency
    assert torch.equal(got, expected)
    assert "not permitted" in capsys.readouterr().err


def test_compiled_masks_are_used_where_the_engine_compiles(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adasise_bench.methods.extremal_perturbation import fused_masks

    monkeypatch.setattr(fused_masks, "_is_compilable", lambda _bell: True)
    monkeypatch.setattr(fused_masks, "_compiled", lambda function: function)
    made, masks = [], FusedMasks.masks

    def counted(self: FusedMasks, parameters: torch.Tensor) -> SmoothMasks:
        made.append(len(parameters))
        return masks(self, parameters)

    monkeypatch.setattr(FusedMasks, "masks", counted)
    plain = explain(tiny, image, 1, iterations=30).saliency
    assert not made
    compiling = replace(tiny, engine=replace(tiny.engine, backend="torch-compile"))
    fused = explain(compiling, image, 1, iterations=30).saliency
    assert len(made) > 30
    torch.testing.assert_close(fused, plain, atol=1e-4, rtol=0)


def test_what_explanations_share_is_there_before_anything_is_timed(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = parse_method({"name": "extremal_perturbation", "iterations": 3, "sigma": 14})
    method.check(tiny, torch.zeros_like(image))

    def late(*_arguments: object) -> None:
        raise AssertionError("built inside an explanation")

    monkeypatch.setattr(area_constraint, "MaskGenerator", late)
    monkeypatch.setattr(AreaMasks, "__init__", late)
    monkeypatch.setattr(area_constraint.AreaConstraint, "__init__", late)
    method.explain_together(tiny, [Request(method, image, 1)])
    other_size = [Request(method, image[:, :, 1:], 1)]
    with pytest.raises(AssertionError, match="inside"):
        method.explain_together(tiny, other_size)


@pytest.mark.parametrize("area", [0.1, 0.3])
def test_areas_of_the_picture_are_reached_there_and_those_of_the_frame_are_larger(
    tiny: Classifier, image: torch.Tensor, area: float
) -> None:
    options = {"areas": [area], "smooth": 0, "step": 2, "sigma": 4.0}
    means = {
        areas_of: float(explain(tiny, image, 1, areas_of=areas_of, **options).saliency.mean())
        for areas_of in ("picture", "frame")
    }
    assert means["picture"] == pytest.approx(area, rel=0.1)
    assert means["frame"] > 1.3 * area


def test_areas_of_the_picture_have_a_definition_of_their_own_and_the_default_leaves_no_trace() -> None:
    frame = parse_method("extremal_perturbation")
    picture = parse_method({"name": "extremal_perturbation", "label": "ep", "areas_of": "picture"})
    assert "areas_of" not in frame.model_dump(mode="json")
    assert custom_definitions([frame]) == {}
    assert picture.model_dump(mode="json")["areas_of"] == "picture"
    assert picture.changed_options() == {"areas_of": "picture"}
    definitions = custom_definitions([picture])
    assert definitions == {"ep.areas_of": "extremal-perturbation-picture-v1"}
    assert not set(definitions.values()) & {method.definition for method in METHODS.values()}
    assert parse_method(picture.model_dump(mode="json")) == picture
