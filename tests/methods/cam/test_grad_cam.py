"""Grad-CAM and Grad-CAM++ against plain loops, closed forms, and other libraries."""

from __future__ import annotations

import activation_references as references
import pytest
import torch
import torch.nn.functional as F
from conftest import explained, make_classifier
from test_class_activation import close
from torch import nn

from adasise_bench.methods.layer_maps import layer_maps
from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.models.classifier import Classifier

LAYERS = ("features.1", "features.4", "features.7", "features.3")
"""Three blocks, and a convolution whose negative values the ReLU behind it changes in place."""


class TwoMaps(nn.Module):
    """Maps: the input's first two channels. y = 3·A[0,0] + A[0,1] - 2·mean of B."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = nn.Conv2d(3, 2, 1, bias=False)
        self.pick.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]])[:, :, None, None]

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        maps = self.pick(inputs)
        y = 3 * maps[:, 0, 0, 0] + maps[:, 0, 0, 1] - 2 * maps[:, 1].mean(dim=(1, 2))
        return torch.stack([y, -y], dim=1)


PICTURE = torch.tensor([[[[4.0, 0], [0, 0]], [[1.0, 0], [0, 2]], [[9.0, 9], [9, 9]]]])


def two_maps() -> Classifier:
    return make_classifier(TwoMaps(), ("pick",), ("for", "against"))


@pytest.mark.parametrize("method", ["grad_cam", "grad_cam_pp"])
@pytest.mark.parametrize("layer", LAYERS)
def test_equals_plain_loops(tiny: Classifier, image: torch.Tensor, method: str, layer: str) -> None:
    for target in range(4):
        expected = getattr(references, method)(tiny, image, target, layer)
        got = explained({"name": method, "layer": layer}, tiny, image, target).saliency
        if expected.max() > 0:
            close(got, expected, 1e-5)
        else:
            assert not got.any()


def test_a_map_worked_out_by_hand() -> None:
    """α_A = (3 + 1) / 4 = 1, α_B = -2/4: A - B/2 is (4 - 1/2, 0; 0, -1), cut at 0."""
    got = explained("grad_cam", two_maps(), PICTURE, 0).saliency
    assert got.tolist() == [[3.5, 0.0], [0.0, 0.0]]
    against = explained("grad_cam", two_maps(), PICTURE, 1).saliency
    assert against.tolist() == [[0.0, 0.0], [0.0, 1.0]]


def test_a_map_of_the_second_kind_worked_out_by_hand() -> None:
    """ΣA = 4: w_A = 3 / (2 + 3·4) + 1 / (2 + 1·4); B has no positive gradient and no weight."""
    got = explained("grad_cam_pp", two_maps(), PICTURE, 0).saliency
    torch.testing.assert_close(got, (3 / 14 + 1 / 6) * PICTURE[0, 0])


def test_raw_outputs_are_differentiated_whatever_the_score(tiny: Classifier, image: torch.Tensor) -> None:
    maps = [
        explained("grad_cam", Classifier(**{**tiny.__dict__, "score": score}), image, 2).saliency
        for score in ("softmax", "sigmoid", "logit")
    ]
    assert torch.equal(maps[0], maps[1])
    assert torch.equal(maps[0], maps[2])


def test_nothing_before_the_layer_is_in_the_graph(
    tiny: Classifier, image: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where all parameters require gradients."""
    tiny.module.requires_grad_(True)
    ends: list[torch.Tensor] = []
    grad = torch.autograd.grad

    def watched(output: torch.Tensor, *args: object, **options: object) -> object:
        ends.append(output)
        return grad(output, *args, **options)

    monkeypatch.setattr(torch.autograd, "grad", watched)
    found = layer_maps(tiny, image, "features.4", [0, 1])
    assert found.gradients.shape == (2, *found.maps.shape)
    reached = {id(leaf) for end in ends for leaf in leaves_of(end)}
    names = {name for name, parameter in tiny.module.named_parameters() if id(parameter) in reached}
    assert names == {"features.6.weight", "features.6.bias", "head.weight", "head.bias"}


def leaves_of(output: torch.Tensor) -> list[torch.Tensor]:
    leaves, todo = [], [output.grad_fn]
    while todo:
        node = todo.pop()
        if hasattr(node, "variable"):
            leaves.append(node.variable)
        todo += [before for before, _ in node.next_functions if before is not None]
    return leaves


@pytest.mark.parametrize("layer", LAYERS[:3])
def test_equals_torchcam(tiny: Classifier, image: torch.Tensor, layer: str) -> None:
    """Raw values at the layer's resolution, both in float32: equal to 1e-5 of the highest."""
    methods = pytest.importorskip("torchcam.methods")
    for target in range(4):
        with methods.GradCAM(tiny.module, layer) as extractor, torch.enable_grad():
            outputs = tiny.module(image.clone().requires_grad_())
            small = extractor(target, outputs, normalized=False)[0]
        expected = F.interpolate(small[None], image.shape[2:], mode="bilinear", align_corners=False)[0, 0]
        got = explained({"name": "grad_cam", "layer": layer}, tiny, image, target).saliency
        torch.testing.assert_close(got, expected, atol=1e-5 * float(expected.max()), rtol=0)


@pytest.mark.parametrize("layer", LAYERS[:3])
def test_equals_captum(tiny: Classifier, image: torch.Tensor, layer: str) -> None:
    attr = pytest.importorskip("captum.attr")
    for target in range(4):
        with torch.enable_grad():
            found = attr.LayerGradCam(tiny.module, tiny.module.get_submodule(layer)).attribute(
                image.clone().requires_grad_(), target=target, relu_attributions=True
            )
        expected = attr.LayerAttribution.interpolate(found, tuple(image.shape[2:]), "bilinear")[0, 0].detach()
        got = explained({"name": "grad_cam", "layer": layer}, tiny, image, target).saliency
        torch.testing.assert_close(got, expected, atol=1e-5 * float(expected.max()), rtol=0)


@pytest.mark.parametrize("layer", LAYERS[:3])
def test_equals_torchray(tiny: Classifier, image: torch.Tensor, layer: str) -> None:
    from torchray.attribution.grad_cam import grad_cam

    tiny.module.requires_grad_(True)
    with torch.enable_grad():
        expected = grad_cam(tiny.module, image, 2, saliency_layer=layer, resize=True)[0, 0].detach()
    close(explained({"name": "grad_cam", "layer": layer}, tiny, image, 2).saliency, expected, 1e-5)


@pytest.mark.parametrize(("method", "tolerance"), [("grad_cam", 1e-5), ("grad_cam_pp", 1e-3)])
def test_equals_pytorch_grad_cam(
    tiny: Classifier, image: torch.Tensor, method: str, tolerance: float
) -> None:
    """Both scaled to [0, 1]. Its Grad-CAM++ adds 1e-6 to denominators of squared gradients; with the
    head's weights multiplied by 50 these are large beside it."""
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    tiny.module.head.weight.mul_(50)
    peer = {"grad_cam": library.GradCAM, "grad_cam_pp": library.GradCAMPlusPlus}[method]
    layer = tiny.module.get_submodule("features.7")
    with torch.enable_grad(), peer(model=tiny.module, target_layers=[layer]) as extractor:
        expected = extractor(image.clone().requires_grad_(), [ClassifierOutputTarget(2)])[0]
    got = min_max(explained(method, tiny, image, 2).saliency)
    torch.testing.assert_close(got, torch.from_numpy(expected), atol=tolerance, rtol=0)
