"""HiResCAM and LayerCAM against plain loops, by hand, and against pytorch-grad-cam."""

from __future__ import annotations

import activation_references as references
import pytest
import torch
from conftest import explained
from test_class_activation import close
from test_grad_cam import LAYERS, PICTURE, two_maps

from adasise_bench.methods.layer_maps import layer_maps
from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.models.classifier import Classifier


@pytest.mark.parametrize("method", ["hires_cam", "layer_cam"])
@pytest.mark.parametrize("layer", LAYERS)
def test_equals_plain_loops(tiny: Classifier, image: torch.Tensor, method: str, layer: str) -> None:
    highest = 0.0
    for target in range(4):
        expected = getattr(references, method)(tiny, image, target, layer)
        got = explained({"name": method, "layer": layer}, tiny, image, target).saliency
        if expected.max() > 0:
            close(got, expected, 1e-5)
        else:
            assert not got.any()
        highest = max(highest, float(expected.max()))
    assert highest > 0


def test_maps_worked_out_by_hand() -> None:
    """∂y/∂A is (3, 1; 0, 0), and ∂y/∂B is -1/2 everywhere: HiResCAM is 3·4 - 1/2, LayerCAM leaves B out."""
    assert explained("hires_cam", two_maps(), PICTURE, 0).saliency.tolist() == [[11.5, 0.0], [0.0, 0.0]]
    assert explained("layer_cam", two_maps(), PICTURE, 0).saliency.tolist() == [[12.0, 0.0], [0.0, 0.0]]
    assert explained("layer_cam", two_maps(), PICTURE, 1).saliency.tolist() == [[0.5, 0.0], [0.0, 1.0]]


def test_hires_cam_adds_up_to_the_output_behind_a_linear_head(tiny: Classifier, image: torch.Tensor) -> None:
    """The paper's faithfulness, before the ReLU: the sum over positions and maps is y without the bias."""
    found = layer_maps(tiny, image, "features.8", range(4))
    weights = weighted_positions(found.maps, found.gradients)
    outputs = found.outputs.double() - tiny.module.head.bias
    torch.testing.assert_close(weights.sum(dim=(1, 2, 3)), outputs, atol=1e-5, rtol=1e-5)


def weighted_positions(maps: torch.Tensor, gradients: torch.Tensor) -> torch.Tensor:
    """What HiResCAM sums over the maps."""
    from adasise_bench.methods.cam.hires_cam import HiResCam

    return HiResCam().weights(maps, gradients) * maps.double()


@pytest.mark.parametrize("method", ["hires_cam", "layer_cam"])
@pytest.mark.parametrize("layer", ["features.7", "features.4"])
def test_equals_pytorch_grad_cam(tiny: Classifier, image: torch.Tensor, method: str, layer: str) -> None:
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    peer = {"hires_cam": library.HiResCAM, "layer_cam": library.LayerCAM}[method]
    module = tiny.module.get_submodule(layer)
    with torch.enable_grad(), peer(model=tiny.module, target_layers=[module]) as extractor:
        expected = extractor(image.clone().requires_grad_(), [ClassifierOutputTarget(2)])[0]
    assert expected.max() > 0.99
    got = min_max(explained({"name": method, "layer": layer}, tiny, image, 2).saliency)
    torch.testing.assert_close(got, torch.from_numpy(expected), atol=1e-5, rtol=0)
