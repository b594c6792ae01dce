"""Ablation-CAM against plain loops, a closed form, and pytorch-grad-cam; partial against whole passes."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from types import MethodType

import activation_references as references
import pytest
import torch
from conftest import TinyVGG, explained, make_classifier
from test_class_activation import close
from test_grad_cam import PICTURE, two_maps
from torch import nn

from adasise_bench.methods.cam import ablation_cam, partial_forward
from adasise_bench.methods.cam.base import weighted_maps
from adasise_bench.methods.cam.partial_forward import forward_behind, traced_behind
from adasise_bench.methods.layer_maps import layer_maps
from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier

LAYERS = ("features.1", "features.4", "features.7", "features.3", "features")


@pytest.mark.parametrize("layer", LAYERS)
def test_equals_plain_loops(tiny: Classifier, image: torch.Tensor, layer: str) -> None:
    for target in range(4):
        expected = references.ablation_cam(tiny, image, target, layer)
        got = explained({"name": "ablation_cam", "layer": layer}, tiny, image, target).saliency
        if expected.max() > 0:
            close(got, expected, 2e-4)
        else:
            assert not got.any()


def test_a_map_worked_out_by_hand() -> None:
    """y = 3·4 - 2·3/4 = 10.5; without A it is -1.5, without B 12: weights 12/10.5 and -1.5/10.5.

    The other output is -y: divided by its absolute value, the weights change their signs.
    """
    weights = torch.tensor([12, -1.5]) / 10.5
    expected = (weights[:, None, None] * PICTURE[0, :2]).sum(dim=0)
    got = [explained("ablation_cam", two_maps(), PICTURE, target).saliency for target in (0, 1)]
    torch.testing.assert_close(got[0], expected.clamp(min=0))
    torch.testing.assert_close(got[1], (-expected).clamp(min=0))


def test_is_the_share_of_the_output_where_the_head_is_linear(tiny: Classifier, image: torch.Tensor) -> None:
    """y - y_k is w_k times the mean of A_k, in closed form."""
    found = layer_maps(tiny, image, "features.8")
    for target in range(4):
        weights = tiny.module.head.weight[target] * found.maps.mean(dim=(1, 2))
        weights = weights.double()[None] / float(found.outputs[target].abs())
        expected = weighted_maps(found.maps, weights, (48, 40))[0]
        got = explained({"name": "ablation_cam", "layer": "features.8"}, tiny, image, target).saliency
        torch.testing.assert_close(got, expected, atol=2e-4 * float(expected.max()), rtol=0)


def test_an_output_of_zero_divides_nothing() -> None:
    picture = torch.zeros(1, 3, 2, 2)
    picture[0, 0, 0, 0], picture[0, 1] = 1, 1.5
    got = explained("ablation_cam", two_maps(), picture, 0).saliency
    torch.testing.assert_close(got, (3 * picture[0, 0] - 3 * picture[0, 1]).clamp(min=0))


def test_maps_without_values_are_not_ablated(tiny: Classifier, image: torch.Tensor) -> None:
    last = tiny.module.get_submodule("features.6")
    last.weight[:4], last.bias[:4] = 0, -1
    got = explained("ablation_cam", tiny, image, 1)
    assert got.forwards == 1 + 6
    close(got.saliency, references.ablation_cam(tiny, image, 1, "features.7"), 2e-4)


def test_equals_pytorch_grad_cam(tiny: Classifier, image: torch.Tensor) -> None:
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    target = int(tiny.outputs(image)[0].argmax())
    assert tiny.outputs(image)[0, target] > 0
    layer = tiny.module.get_submodule("features.7")
    with library.AblationCAM(model=tiny.module, target_layers=[layer]) as extractor:
        expected = torch.from_numpy(extractor(image, [ClassifierOutputTarget(target)])[0])
    got = explained("ablation_cam", tiny, image, target).saliency
    assert got.max() > 0
    torch.testing.assert_close(min_max(got), expected, atol=2e-4, rtol=0)


def test_only_the_tail_runs_for_ablated_maps(tiny: Classifier, image: torch.Tensor) -> None:
    passed: dict[str, int] = {}
    for name in ("features.0", "features.6", "head"):

        def count(_module: nn.Module, args: tuple[torch.Tensor], name: str = name) -> None:
            passed[name] = passed.get(name, 0) + len(args[0])

        tiny.module.get_submodule(name).register_forward_pre_hook(count)
    got = explained("ablation_cam", replace(tiny, batch_size=BatchSize(1)), image, 0)
    assert passed == {"features.0": 1, "features.6": 1, "head": got.forwards + 2}


def test_a_batch_that_does_not_fit_is_halved(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = explained("ablation_cam", tiny, image, 0).saliency
    whole = ablation_cam._one_batch

    def small(*args: object) -> torch.Tensor:
        if len(args[-1]) > 2:  # type: ignore[arg-type]
            raise torch.OutOfMemoryError("no memory")
        return whole(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(ablation_cam, "_one_batch", small)
    one = replace(tiny, batch_size=BatchSize(8))
    close(explained("ablation_cam", one, image, 0).saliency, expected, 1e-5)
    assert one.batch_size.value == 2


class Around(TinyVGG):
    """A path leads around the layer ``features.6``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.features[:6](x / 60)
        return self.head((self.features[6](maps) + maps.mean(dim=1, keepdim=True)).mean(dim=(2, 3)))


class Untraceable(TinyVGG):
    """What is computed depends on values."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x if x.abs().max() > 0 else x + 1)


class Patched(TinyVGG):
    """``forward`` is replaced on the instance, as TorchRay does; the class's own is of no use."""

    def __init__(self) -> None:
        super().__init__()
        self.forward = MethodType(lambda self, x: TinyVGG.forward(self, 2 * x), self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(x)


@pytest.mark.parametrize(
    ("network", "layer", "traced"),
    [
        (TinyVGG, "features.7", True),
        (Patched, "features.7", True),
        (Around, "features.6", False),
        (Untraceable, "features.7", False),
    ],
)
def test_networks_of_every_kind_equal_plain_loops(
    image: torch.Tensor, network: type[nn.Module], layer: str, traced: bool
) -> None:
    torch.manual_seed(3)
    classifier = make_classifier(network(), ("features.7",), tuple("abcd"))
    assert (traced_behind(classifier.module, layer) is not None) == traced
    expected = references.ablation_cam(classifier, image, 0, layer)
    close(explained({"name": "ablation_cam", "layer": layer}, classifier, image, 0).saliency, expected, 2e-4)


def test_a_tail_that_does_not_give_the_outputs_is_not_used(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "adasise_bench.methods.cam.partial_forward.traced_behind",
        lambda *_args: lambda maps: maps.new_zeros(len(maps), 4),
    )
    found = layer_maps(tiny, image, "features.7")
    behind = forward_behind(tiny, image, "features.7", found)
    torch.testing.assert_close(behind(found.maps[None])[0], tiny.outputs(image)[0])


@pytest.mark.parametrize("layer", ["relu", "layer2", "layer3.0", "layer4"])
def test_the_tail_of_a_residual_network_gives_its_outputs(resnet_layout: Classifier, layer: str) -> None:
    image = torch.randn(1, 3, 64, 56, generator=torch.Generator().manual_seed(2)) * 50
    found = layer_maps(resnet_layout, image, layer)
    traced = traced_behind(resnet_layout.module, layer)
    assert traced is not None
    torch.testing.assert_close(traced(found.maps[None])[0], found.outputs, rtol=1e-4, atol=1e-4)
    assert "network.conv1" not in {node.target for node in traced.graph.nodes}


def test_a_network_is_traced_once_per_layer_and_may_be_forgotten(
    image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    traced: list[str] = []

    def trace(module: nn.Module, layer: str) -> nn.Module | None:
        traced.append(layer)
        return trace_layer(module, layer)

    trace_layer = partial_forward._traced
    monkeypatch.setattr(partial_forward, "_traced", trace)
    classifier = make_classifier(Patched(), ("features.7",), tuple("abcd"))
    for layer in ("features.7", "features.7", "features.4", "features.7"):
        explained({"name": "ablation_cam", "layer": layer}, classifier, image, 0)
    assert traced == ["features.7", "features.4"]
    network = weakref.ref(classifier.module)
    del classifier
    gc.collect()
    assert network() is None
