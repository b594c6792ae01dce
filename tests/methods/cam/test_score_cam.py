"""Score-CAM against plain loops, a closed form, and other libraries."""

from __future__ import annotations

from dataclasses import replace

import activation_references as references
import pytest
import torch
from conftest import explained, make_classifier
from test_class_activation import close
from torch import nn

from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.sise.fusion import min_max
from adasise_bench.models.classifier import Classifier


@pytest.mark.parametrize("weighting", ["score", "channel_softmax"])
@pytest.mark.parametrize("score", ["softmax", "logit"])
@pytest.mark.parametrize("layer", ["features.4", "features.7"])
def test_equals_plain_loops(
    tiny: Classifier, image: torch.Tensor, weighting: str, score: str, layer: str
) -> None:
    scored = replace(tiny, score=score)
    for target in (0, 2):
        expected = references.score_cam(scored, image, target, layer, weighting == "channel_softmax")
        entry = {"name": "score_cam", "layer": layer, "weighting": weighting}
        got = explained(entry, scored, image, target).saliency
        if expected.max() > 0:
            close(got, expected, 1e-5)
        else:
            assert not got.any()


class Corners(nn.Module):
    """Maps: left column and right column of the first channel. y: what the left and the right show."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Conv2d(3, 2, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        left, right = inputs[:, :1].clone(), inputs[:, :1].clone()
        left[..., 1:], right[..., :1] = 0, 0
        maps = self.maps(torch.cat([left, right, left], dim=1))
        return maps.sum(dim=(2, 3))


def test_a_map_worked_out_by_hand() -> None:
    """Each mask shows one side only, whose sum is the logit: 3 on the left, 5 on the right."""
    module = Corners()
    module.maps.weight.data = torch.tensor([[1.0, 0, 0], [0, 1, 0]])[:, :, None, None]
    module.maps.bias.data.zero_()
    classifier = make_classifier(module, ("maps",), ("left", "right"), score="logit")
    image = torch.zeros(1, 3, 1, 2)
    image[0, 0] = torch.tensor([[3.0, 5.0]])
    assert explained("score_cam", classifier, image, 0).saliency.tolist() == [[9.0, 0.0]]
    assert explained("score_cam", classifier, image, 1).saliency.tolist() == [[0.0, 25.0]]
    channels = {"name": "score_cam", "weighting": "channel_softmax"}
    share = torch.tensor([3.0, 0.0]).softmax(0)
    expected = share * torch.tensor([3.0, 5.0])
    torch.testing.assert_close(explained(channels, classifier, image, 0).saliency[0], expected)


def test_constant_maps_are_not_scored(tiny: Classifier, image: torch.Tensor) -> None:
    last = tiny.module.get_submodule("features.6")
    last.weight[:4] = 0
    got = explained("score_cam", tiny, image, 1)
    assert got.forwards == 1 + 6
    close(got.saliency, references.score_cam(tiny, image, 1, "features.7"), 1e-5)


def test_weightings_of_one_image_share_its_masks(tiny: Classifier, image: torch.Tensor) -> None:
    passed: list[int] = []
    tiny.module.register_forward_pre_hook(lambda _module, args: passed.append(len(args[0])))
    methods = [parse_method({"name": "score_cam", "label": weighting, "weighting": weighting})
               for weighting in ("score", "channel_softmax")]  # fmt: skip
    together = methods[0].explain_together(tiny, [Request(method, image, 2) for method in methods])
    assert passed == [1, 16]
    for method, got in zip(methods, together, strict=True):
        assert torch.equal(got.saliency, explained(method, tiny, image, 2).saliency)


def test_equals_torchcam_where_nothing_is_resized(tiny: Classifier, image: torch.Tensor) -> None:
    """torchcam scales maps before it resizes them and takes logits and a softmax over the channels: on a
    layer of the input's size both compute the same."""
    methods = pytest.importorskip("torchcam.methods")
    entry = {"name": "score_cam", "weighting": "channel_softmax", "layer": "features.1"}
    with methods.ScoreCAM(tiny.module, "features.1") as extractor:
        tiny.module(image)
        expected = extractor(2, normalized=False)[0][0]
    got = explained(entry, replace(tiny, score="logit"), image, 2).saliency
    close(got, expected, 1e-5)


def test_is_near_torchcam_where_maps_are_resized(tiny: Classifier, image: torch.Tensor) -> None:
    """Scaled before or after the resizing, masks differ a little, and so do their logits."""
    methods = pytest.importorskip("torchcam.methods")
    with methods.ScoreCAM(tiny.module, "features.7") as extractor:
        tiny.module(image)
        small = extractor(2, normalized=False)[0]
    expected = torch.nn.functional.interpolate(small[None], (48, 40), mode="bilinear")[0, 0]
    entry = {"name": "score_cam", "weighting": "channel_softmax"}
    got = explained(entry, replace(tiny, score="logit"), image, 2).saliency
    close(min_max(got), min_max(expected), 0.01)


def test_equals_pytorch_grad_cam_where_nothing_is_resized(tiny: Classifier, image: torch.Tensor) -> None:
    """It resizes masks with aligned corners, else as torchcam."""
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    layer = tiny.module.get_submodule("features.1")
    with library.ScoreCAM(model=tiny.module, target_layers=[layer]) as extractor:
        expected = torch.from_numpy(extractor(image, [ClassifierOutputTarget(2)])[0])
    entry = {"name": "score_cam", "weighting": "channel_softmax", "layer": "features.1"}
    got = explained(entry, replace(tiny, score="logit"), image, 2).saliency
    torch.testing.assert_close(min_max(got), expected, atol=1e-5, rtol=0)
