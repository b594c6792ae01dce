"""FullGrad: the decomposition is exact, and the map is that of a plain reading of the paper."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import TinyVGG, explained, make_classifier
from pytorch_grad_cam import FullGrad
from pytorch_grad_cam.utils.image import scale_accross_batch_and_channels, scale_cam_image
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from adasise_bench.methods.gradients.full_grad import full_gradients
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.surgery import fold_batchnorm


def resnet(folded: bool) -> Classifier:
    """Residual blocks whose batch normalisations have statistics of their own."""
    torch.manual_seed(5)
    module = ResNet(Bottleneck, [1, 1, 1, 1], num_classes=4, width_per_group=8)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.running_mean.normal_(0, 0.2)
            norm.running_var.uniform_(0.5, 2)
            norm.bias.data.normal_(0, 0.3)
            norm.weight.data.uniform_(0.5, 1.5)
    module = module.eval()
    return make_classifier(fold_batchnorm(module) if folded else module, (), tuple("abcd"))


class DeepHead(TinyVGG):
    """Linear layers with a ReLU between them, as VGG16 has."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(10, 7), nn.ReLU(inplace=True), nn.Linear(7, 4))


NETWORKS = {
    "tiny": lambda: make_classifier(TinyVGG(), (), tuple("abcd")),
    "deep head": lambda: make_classifier(DeepHead(), (), tuple("abcd")),
    "folded": lambda: resnet(True),
    "not folded": lambda: resnet(False),
}


@pytest.mark.parametrize("network", NETWORKS)
def test_the_terms_add_up_to_the_output(network: str, image: torch.Tensor) -> None:
    torch.manual_seed(9)
    classifier = NETWORKS[network]()
    for target in range(4):
        terms = full_gradients(classifier, image, target)
        expected = classifier.outputs(image)[0, target]
        torch.testing.assert_close(sum(term.sum() for term in terms), expected, rtol=1e-5, atol=1e-5)
        assert max(float(term.sum().abs()) for term in terms[:-1]) > 1e-3


def plain_reading(terms: list[torch.Tensor], size: tuple[int, int]) -> torch.Tensor:
    """Section 4 of the paper, channel by channel."""
    total = torch.zeros(size, dtype=torch.float64)
    for term in terms:
        magnitudes = term[0].double().abs()
        scaled = (magnitudes - magnitudes.min()) / (magnitudes.max() - magnitudes.min() + 1e-6)
        for channel in scaled:
            total += F.interpolate(channel[None, None], size, mode="bilinear", align_corners=True)[0, 0]
    return total


def watched_terms(classifier: Classifier, image: torch.Tensor, target: int) -> list[torch.Tensor]:
    """The terms of a TinyVGG from a forward pass written out."""
    layers, leaf = classifier.module.features, image.clone().requires_grad_()
    x, before = leaf / 60, []
    for layer in layers:
        if isinstance(layer, nn.ReLU):
            x = x.relu()
            continue
        x = layer(x)
        if isinstance(layer, nn.Conv2d):
            before.append(x)
    output = classifier.module.head(x.mean(dim=(2, 3)))[0, target]
    gradients = torch.autograd.grad(output, [leaf, *before])
    biases = [layer.bias for layer in layers if isinstance(layer, nn.Conv2d)]
    return [
        gradients[0] * image,
        *(g * bias.view(1, -1, 1, 1) for g, bias in zip(gradients[1:], biases, strict=True)),
    ]


def test_equals_a_plain_reading(tiny: Classifier, image: torch.Tensor) -> None:
    for target in (0, 3):
        expected = plain_reading(watched_terms(tiny, image, target), (48, 40))
        found = explained("full_grad", tiny, image, target)
        torch.testing.assert_close(found.saliency, expected.float(), rtol=1e-4, atol=1e-4)
        assert (found.forwards, found.backwards) == (1, 1)
        assert float(expected.std()) > 0.1


def test_the_least_magnitude_of_a_term_becomes_zero(image: torch.Tensor) -> None:
    """Without a ReLU, the bias of a channel has the same gradient everywhere, far from zero."""
    torch.manual_seed(2)
    module = nn.Sequential(nn.Conv2d(3, 5, 1), nn.Conv2d(5, 4, 1))
    classifier = make_classifier(module, (), tuple("abcd"))
    terms = full_gradients(classifier, image, 1)
    assert max(float(term.abs().min() / term.abs().max()) for term in terms) > 0.01
    found = explained("full_grad", classifier, image, 1).saliency
    torch.testing.assert_close(found, plain_reading(terms, (48, 40)).float(), rtol=1e-4, atol=1e-4)


def test_a_folded_network_has_the_same_map(image: torch.Tensor) -> None:
    maps = [explained("full_grad", resnet(folded), image, 2).saliency for folded in (True, False)]
    torch.testing.assert_close(*maps, rtol=1e-3, atol=1e-3)


def test_the_terms_are_those_of_pytorch_grad_cam(tiny: Classifier, image: torch.Tensor) -> None:
    """Its map scales every channel by itself, which is done here to the same terms."""
    module = copy.deepcopy(tiny.module).requires_grad_(True)
    with FullGrad(module, []) as cam:
        expected = cam(image.clone(), [ClassifierOutputTarget(1)])[0]
    total = 0
    for term in full_gradients(tiny, image, 1):
        if term.ndim == 4:
            total = total + scale_accross_batch_and_channels(term.abs().numpy(), (40, 48)).sum(axis=1)
    found = scale_cam_image(total)[0]
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-4)
