"""CAM against plain loops, a closed form, torchcam, and Grad-CAM; which heads it takes."""

from __future__ import annotations

import activation_references as references
import pytest
import torch
import torch.nn.functional as F
import torchvision
from conftest import explained, make_classifier
from test_class_activation import close
from torch import nn

from adasise_bench.methods.cam.cam import averaged_maps
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import ConfigError


def test_equals_plain_loops(tiny: Classifier, image: torch.Tensor) -> None:
    """The maps that the head averages are those behind the last pooling."""
    for target in range(4):
        expected = references.cam(tiny, image, target, "features.8", tiny.module.head.weight)
        close(explained("cam", tiny, image, target).saliency, expected, 1e-5)


def test_equals_torchcam(tiny: Classifier, image: torch.Tensor) -> None:
    methods = pytest.importorskip("torchcam.methods")
    with methods.CAM(tiny.module, "features.8", "head") as extractor:
        tiny.module(image)
        small = extractor(2, normalized=False)[0].clamp(min=0)
    expected = F.interpolate(small[None], (48, 40), mode="bilinear", align_corners=False)[0, 0]
    close(explained("cam", tiny, image, 2).saliency, expected, 1e-5)


@pytest.mark.parametrize("target", [0, 7, 19])
def test_is_grad_cam_times_the_number_of_positions(resnet_layout: Classifier, target: int) -> None:
    """∂y/∂A is w / (hw) everywhere; layer4 has 2 x 2 positions here."""
    image = torch.randn(1, 3, 64, 56, generator=torch.Generator().manual_seed(2)) * 50
    cam, grad_cam = (explained(name, resnet_layout, image, target).saliency for name in ("cam", "grad_cam"))
    close(cam, 4 * grad_cam, 1e-6)


def test_a_map_worked_out_by_hand() -> None:
    head = nn.Linear(3, 2)
    head.weight.data = torch.tensor([[1.0, -1, 0], [-1, 0, 2]])
    module = nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    image = torch.tensor([[[[5.0, 1]], [[2.0, 3]], [[-1.0, 1]]]])
    classifier = make_classifier(module, ("0",), ("a", "b"))
    assert explained("cam", classifier, image, 0).saliency.tolist() == [[3.0, 0.0]]
    assert explained("cam", classifier, image, 1).saliency.tolist() == [[0.0, 1.0]]


class Head(nn.Module):
    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 6, 3, padding=1)
        self.head = nn.Sequential(*layers)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.head(self.maps(inputs))


POOL = (nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.mark.parametrize(
    "layers",
    [
        (nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6, 4)),
        (*POOL, nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 4)),
        (*POOL, nn.Linear(6, 5), nn.Linear(5, 4)),
        (*POOL, nn.Linear(6, 4), nn.Sigmoid()),
        (nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 4)),
        (nn.Conv2d(6, 4, 1), *POOL),
        (nn.AdaptiveAvgPool2d((1, 2)), nn.Conv2d(6, 4, (1, 2)), nn.Flatten()),
    ],
)
def test_other_heads_are_refused_before_anything_runs(image: torch.Tensor, layers: tuple[nn.Module]) -> None:
    torch.manual_seed(1)
    classifier = make_classifier(Head(*layers), ("maps",), tuple("abcd"))
    with pytest.raises(ConfigError, match=r"cam: tiny does not end in a global average pooling .* grad_cam"):
        parse_method("cam").check(classifier, image)
    assert not any(module._forward_hooks for module in classifier.module.modules())


@pytest.mark.parametrize(
    "layers",
    [
        (*POOL, nn.Dropout(), nn.Linear(6, 4)),
        (*POOL, nn.Linear(6, 4, bias=False)),
        (nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 4, 1), nn.Flatten()),
        (nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 4, 1)),
        (nn.Conv2d(6, 6, 1), nn.ReLU(), *POOL, nn.Linear(6, 4)),
    ],
)
def test_heads_that_only_look_different_are_taken(image: torch.Tensor, layers: tuple[nn.Module]) -> None:
    torch.manual_seed(1)
    classifier = make_classifier(Head(*layers), ("maps",), tuple("abcd"))
    maps, weights = averaged_maps(classifier, image)
    bias = [layer.bias for layer in layers if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    expected = weights @ maps.mean(dim=(1, 2)) + (0 if bias is None else bias)
    torch.testing.assert_close(classifier.outputs(image)[0], expected)


@pytest.mark.parametrize(("name", "fits"), [("mobilenet_v3_small", False), ("squeezenet1_1", False),
                                            ("shufflenet_v2_x0_5", True), ("mnasnet0_5", True),
                                            ("regnet_y_400mf", True)])  # fmt: skip
def test_networks_of_torchvision(name: str, fits: bool) -> None:
    torch.manual_seed(1)
    classifier = make_classifier(torchvision.models.get_model(name), ("none",), tuple(map(str, range(1000))))
    noise = torch.randn(1, 3, 96, 64)
    if fits:
        parse_method("cam").check(classifier, noise)
    else:
        with pytest.raises(ConfigError):
            parse_method("cam").check(classifier, noise)
