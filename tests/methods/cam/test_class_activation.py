"""What holds for every class activation method, and the weighted sum that they share."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from activation_references import METHODS
from conftest import explained
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.methods import Request
from adasise_bench.methods.cam.base import weighted_maps
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import BenchError, ConfigError, DeviceError
from adasise_bench.utils.timing import PhaseClock

LAYERED = tuple(method for method in METHODS if method not in ("cam", "refine_cam"))


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    """Equal up to a share of the highest value, which must not be 0."""
    highest = float(expected.max())
    assert highest > 0
    torch.testing.assert_close(found / highest, expected.to(found.dtype) / highest, atol=tolerance, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_is_finite_positive_and_of_the_inputs_size(
    tiny: Classifier, image: torch.Tensor, method: str
) -> None:
    got = explained(method, tiny, image, 2).saliency
    assert got.shape == image.shape[2:]
    assert got.dtype == torch.float32
    assert got.isfinite().all()
    assert got.min() >= 0
    assert got.max() > 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_the_batch_size_does_not_matter(
    tiny: Classifier, image: torch.Tensor, method: str, batch_size: int
) -> None:
    got = explained(method, replace(tiny, batch_size=BatchSize(batch_size)), image, 2)
    close(got.saliency, explained(method, tiny, image, 2).saliency, 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_classes_together_get_the_maps_they_get_alone(
    tiny: Classifier, image: torch.Tensor, method: str
) -> None:
    options = parse_method(method)
    targets = (3, 0, 2, 0)
    together = options.explain_together(tiny, [Request(options, image, target) for target in targets])
    for target, got in zip(targets, together, strict=True):
        alone = explained(method, tiny, image, target)
        torch.testing.assert_close(got.saliency, alone.saliency, atol=1e-7, rtol=1e-6)
        assert (got.forwards, got.backwards) == (alone.forwards, alone.backwards)


@pytest.mark.parametrize(("method", "limit"), [("cam", 1), ("grad_cam", 1), ("hires_cam", 1),
                                               ("refine_cam", 3), ("score_cam", 11),
                                               ("ablation_cam", 1)])  # fmt: skip
def test_classes_together_share_every_pass_of_the_network(
    tiny: Classifier, image: torch.Tensor, method: str, limit: int
) -> None:
    passed: list[int] = []
    first = tiny.module.get_submodule("features.0")
    first.register_forward_pre_hook(lambda _module, args: passed.append(len(args[0])))
    options = parse_method(method)
    one = replace(tiny, batch_size=BatchSize(1))
    options.explain_together(one, [Request(options, image, target) for target in range(4)])
    assert sum(passed) == limit


@pytest.mark.parametrize("method", METHODS)
def test_the_network_is_left_as_it_was(tiny: Classifier, image: torch.Tensor, method: str) -> None:
    tiny.module.requires_grad_(True)
    before = {name: value.clone() for name, value in tiny.module.state_dict().items()}
    state, names = torch.get_rng_state(), list(dict(tiny.module.named_modules()))
    first = explained(method, tiny, image, 1).saliency
    assert torch.equal(explained(method, tiny, image, 1).saliency, first)
    assert torch.equal(torch.get_rng_state(), state)
    assert names == list(dict(tiny.module.named_modules()))
    assert all(parameter.requires_grad and parameter.grad is None for parameter in tiny.module.parameters())
    assert all(torch.equal(before[name], value) for name, value in tiny.module.state_dict().items())
    assert not any(module._forward_hooks for module in tiny.module.modules())
    assert not first.requires_grad


@pytest.mark.parametrize("method", METHODS)
def test_hooks_are_removed_after_an_exception(tiny: Classifier, method: str) -> None:
    with pytest.raises(RuntimeError):
        explained(method, tiny, torch.zeros(1, 5, 48, 40), 0)
    assert not any(module._forward_hooks for module in tiny.module.modules())


@pytest.mark.parametrize("method", METHODS)
def test_a_network_that_says_nothing_gives_a_flat_map(tiny: Classifier, method: str) -> None:
    for name in ("features.0", "features.3", "features.6"):
        torch.nn.init.zeros_(tiny.module.get_submodule(name).weight)
        torch.nn.init.zeros_(tiny.module.get_submodule(name).bias)
    torch.nn.init.zeros_(tiny.module.get_submodule("head").bias)
    got = explained(method, tiny, torch.zeros(1, 3, 48, 40), 0).saliency
    assert got.shape == (48, 40)
    assert not got.any()


@pytest.mark.parametrize("method", METHODS)
def test_values_that_are_not_finite_are_an_error(tiny: Classifier, image: torch.Tensor, method: str) -> None:
    torch.nn.init.constant_(tiny.module.get_submodule("features.6").bias, float("inf"))
    with pytest.raises(BenchError, match="not finite"):
        explained(method, tiny, image, 0)


@pytest.mark.parametrize("method", METHODS)
def test_all_phases_are_columns_of_a_record(tiny: Classifier, image: torch.Tensor, method: str) -> None:
    clock = PhaseClock(tiny.device)
    options = parse_method(method)
    options.explain(tiny, Request(options, image, 0), clock)
    scoring = ["scoring"] if method in ("score_cam", "ablation_cam") else []
    assert list(clock.phases) == ["feature_maps", *scoring, "fusion"]


@pytest.mark.parametrize("method", METHODS)
def test_fully_convolutional_outputs_are_averaged(tiny: Classifier, image: torch.Tensor, method: str) -> None:
    """The same head as a 1x1 convolution, of one position or of many whose mean is the output."""

    class Sliding(torch.nn.Module):
        def __init__(self, pooled: bool) -> None:
            super().__init__()
            self.features, self.pooled = tiny.module.features, pooled
            self.head = torch.nn.Conv2d(10, 4, 1)
            self.head.weight.copy_(tiny.module.head.weight[:, :, None, None])
            self.head.bias.copy_(tiny.module.head.bias)

        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            maps = self.features(inputs / 60)
            return self.head(maps.mean(dim=(2, 3), keepdim=True) if self.pooled else maps)

    expected = explained(method, tiny, image, 1).saliency
    with torch.no_grad():
        pooled, sliding = (replace(tiny, module=Sliding(flag).eval()) for flag in (True, False))
    close(explained(method, pooled, image, 1).saliency, expected, 1e-5)
    if method == "cam":
        with pytest.raises(ConfigError, match="global average pooling"):
            explained(method, sliding, image, 1)
    else:
        close(explained(method, sliding, image, 1).saliency, expected, 1e-5)


@pytest.mark.parametrize("method", LAYERED)
def test_another_layer_gives_another_map(tiny: Classifier, image: torch.Tensor, method: str) -> None:
    last, named, earlier = (
        explained({"name": method, "layer": layer}, tiny, image, 2).saliency
        for layer in (None, "features.7", "features.4")
    )
    assert torch.equal(last, named)
    assert not torch.allclose(last / last.max(), earlier / earlier.max(), atol=0.05)


@pytest.mark.parametrize("method", LAYERED)
@pytest.mark.parametrize(
    ("layer", "message"),
    [("features.77", "no layer 'features.77'; did you mean 'features.7'"), ("head", "no feature maps"),
     ("features.8.x", "no layer")],
)  # fmt: skip
def test_an_unusable_layer_is_refused_before_anything_runs(
    tiny: Classifier, image: torch.Tensor, method: str, layer: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=f"tiny: .*{message}"):
        parse_method({"name": method, "layer": layer}).check(tiny, image)
    assert not any(module._forward_hooks for module in tiny.module.modules())
    parse_method(method).check(tiny, image)


def test_a_layer_that_runs_more_than_once_is_refused(resnet_layout: Classifier) -> None:
    with pytest.raises(ConfigError, match="runs 3 times"):
        parse_method({"name": "grad_cam", "layer": "layer4.0.relu"}).check(
            resnet_layout, torch.zeros(1, 3, 64, 56)
        )


@pytest.mark.parametrize(("method", "forwards"), [("cam", 1), ("grad_cam", 1), ("grad_cam_pp", 1),
                                                  ("hires_cam", 1), ("layer_cam", 1), ("refine_cam", 3),
                                                  ("score_cam", 11), ("ablation_cam", 11)])  # fmt: skip
def test_forwards_are_those_expected_where_all_maps_vary(
    tiny: Classifier, image: torch.Tensor, method: str, forwards: int
) -> None:
    options = parse_method(method)
    got = explained(method, tiny, image, 0)
    assert options.expected_forwards((6, 8, 10)) == got.forwards == forwards
    gradients = ("grad_cam", "grad_cam_pp", "hires_cam", "layer_cam", "refine_cam")
    assert got.backwards == (forwards if method in gradients else 0)


def test_groups_hold_what_can_share_passes() -> None:
    groups = [
        parse_method(entry).group
        for entry in (
            "grad_cam", {"name": "grad_cam", "label": "again"}, {"name": "grad_cam", "layer": "layer3"},
            "grad_cam_pp", "score_cam", {"name": "score_cam", "weighting": "channel_softmax"}, "cam",
            "hires_cam", "layer_cam", "refine_cam", {"name": "refine_cam", "layers": ["layer3", "layer4"]},
        )
    ]  # fmt: skip
    assert groups[0] == groups[1]
    assert groups[4] == groups[5]
    assert len(set(groups)) == 9


def test_a_pass_that_never_fits_is_an_error_of_one_line(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object) -> None:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("adasise_bench.methods.cam.ablation_cam._one_batch", full)
    with pytest.raises(DeviceError, match="a single input does not fit"):
        explained("ablation_cam", replace(tiny, batch_size=BatchSize(8)), image, 0)


floats = st.floats(-3, 3, allow_nan=False, width=32)


@settings(max_examples=40, deadline=None)
@given(
    values=st.lists(floats, min_size=12, max_size=12),
    weights=st.lists(floats, min_size=3, max_size=3),
    factor=st.floats(0.01, 100),
)
def test_the_sum_is_homogeneous_and_ignores_the_order_of_maps(
    values: list[float], weights: list[float], factor: float
) -> None:
    maps = torch.tensor(values).view(3, 2, 2)
    row = torch.tensor([weights], dtype=torch.float64)
    got = weighted_maps(maps, row, (5, 7))
    assert got.shape == (1, 5, 7)
    assert got.min() >= 0
    torch.testing.assert_close(weighted_maps(maps, row * factor, (5, 7)), got * factor, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(weighted_maps(maps.flip(0), row.flip(1), (5, 7)), got, atol=1e-6, rtol=1e-6)


def test_the_sum_of_known_maps() -> None:
    """2·A - B cut at 0, on twice the size: halfway between centres the values are 1/4 and 3/4."""
    maps = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]]])
    got = weighted_maps(maps, torch.tensor([[2.0, -1.0]], dtype=torch.float64), (1, 4))
    assert got.tolist() == [[[2.0, 1.5, 0.5, 0.0]]]
    none = weighted_maps(maps[:0], torch.empty(1, 0, dtype=torch.float64), (2, 2))
    assert none.tolist() == [[[0.0, 0.0], [0.0, 0.0]]]


@pytest.mark.parametrize("method", METHODS)
def test_a_larger_head_gives_a_map_of_the_same_shape(
    tiny: Classifier, image: torch.Tensor, method: str
) -> None:
    """Doubling the head's weights and biases doubles y: the normalised map stays.

    Grad-CAM++, RefineCAM and Score-CAM are not invariant: their weights are not linear in y.
    """
    doubled = copy.deepcopy(tiny)
    doubled.module.head.weight.mul_(2)
    doubled.module.head.bias.mul_(2)
    one, two = (explained(method, network, image, 2).saliency for network in (tiny, doubled))
    same = torch.allclose(two / two.max(), one / one.max(), atol=1e-5)
    assert same == (method not in ("grad_cam_pp", "refine_cam", "score_cam"))
