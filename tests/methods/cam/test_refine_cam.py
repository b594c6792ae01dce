"""RefineCAM: the product of single maps, by plain loops and as pytorch-grad-cam has it."""

from __future__ import annotations

import activation_references as references
import pytest
import torch
from conftest import explained
from test_class_activation import close

from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import ConfigError

BLOCKS = ("features.1", "features.4", "features.7")


@pytest.mark.parametrize("target", range(4))
def test_equals_the_product_of_plain_loops(tiny: Classifier, image: torch.Tensor, target: int) -> None:
    product = torch.ones(image.shape[2:], dtype=torch.float64)
    for layer in BLOCKS:
        one = references.grad_cam_pp(tiny, image, target, layer)
        product *= (one - one.min()) / (one.max() - one.min())
    got = explained("refine_cam", tiny, image, target).saliency
    close(got, product / product.max(), 2e-5)
    assert float(got.max()) == 1


def test_named_layers_are_multiplied(tiny: Classifier, image: torch.Tensor) -> None:
    two = BLOCKS[1:]
    got = explained({"name": "refine_cam", "layers": list(two)}, tiny, image, 2)
    single = [explained({"name": "grad_cam_pp", "layer": layer}, tiny, image, 2).saliency for layer in two]
    close(got.saliency, min_max(min_max(single[0]) * min_max(single[1])), 1e-6)
    assert (got.forwards, got.backwards) == (2, 2)
    assert not torch.allclose(got.saliency, explained("refine_cam", tiny, image, 2).saliency, atol=0.05)


def test_a_flat_layer_leaves_nothing(tiny: Classifier, image: torch.Tensor) -> None:
    tiny.module.get_submodule("features.0").weight.zero_()
    assert not explained("refine_cam", tiny, image, 2).saliency.any()


def test_an_unusable_layer_is_refused(tiny: Classifier, image: torch.Tensor) -> None:
    method = parse_method({"name": "refine_cam", "layers": ["features.7", "features.44"]})
    with pytest.raises(ConfigError, match=r"tiny: no layer 'features.44'; did you mean"):
        method.check(tiny, image)
    with pytest.raises(ValueError, match="layers"):
        parse_method({"name": "refine_cam", "layers": ["features.7"]})


def test_equals_pytorch_grad_cam(tiny: Classifier, image: torch.Tensor) -> None:
    """Its Grad-CAM++ adds 1e-6 to denominators; with 50 times the head's weights these are large."""
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    tiny.module.head.weight.mul_(50)
    layers = [tiny.module.get_submodule(name) for name in BLOCKS]
    with torch.enable_grad():
        extractor = library.RefineCAM(model=tiny.module, target_layers=layers)
        expected = extractor(image.clone().requires_grad_(), [ClassifierOutputTarget(2)])[0]
    got = explained("refine_cam", tiny, image, 2).saliency
    torch.testing.assert_close(got, torch.from_numpy(expected), atol=3e-3, rtol=0)
