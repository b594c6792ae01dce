"""Blocks found by tracing: those that people name by hand, for the reasons stated."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import timm
import torch
import torchvision
from conftest import TinyVGG, make_classifier
from torch import nn

from adasise_bench.models import scenes_vgg
from adasise_bench.models.block_search import check_blocks, find_blocks
from adasise_bench.models.torchray_networks import BLOCKS

STAGES = ("layer1", "layer2", "layer3", "layer4")


def frozen(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(False)


def noise(side: int = 64) -> torch.Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0))


def on_meta(name: str) -> nn.Module:
    """A large network without its memory and arithmetic: shapes are all that the search looks at."""
    computed = name.startswith("regnet")  # its widths are
    with nullcontext() if computed else torch.device("meta"):
        return frozen(torchvision.models.get_model(name, weights=None)).to("meta")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("vgg16", BLOCKS["vgg16", "pool-input"]),
        ("resnet50", BLOCKS["resnet50", "pool-input"]),
        ("resnet18", ("relu", *STAGES)),
        ("vgg11", ("features.1", "features.4", "features.9", "features.14", "features.19")),
        ("vgg11_bn", ("features.2", "features.6", "features.13", "features.20", "features.27")),
        (
            "mobilenet_v3_small",
            ("features.0", "features.2.block.0", "features.4.block.0", "features.9.block.0", "features"),
        ),
        ("convnext_tiny", ("features.1", "features.3", "features.5", "features")),
        (
            "densenet121",
            ("features.relu0", "features.transition1.relu", "features.transition2.relu",
             "features.transition3.relu", "features.denseblock4"),
        ),
        ("regnet_y_400mf", ("stem", *(f"trunk_output.block{i}" for i in (1, 2, 3)), "trunk_output")),
        ("shufflenet_v2_x0_5", ("conv1", "stage2", "stage3", "conv5")),
    ],
)  # fmt: skip
def test_torchvision(name: str, expected: tuple[str, ...]) -> None:
    assert find_blocks(on_meta(name), noise(224).to("meta")) == expected


def test_blocks_are_the_inputs_of_down_sampling_layers() -> None:
    """Of VGG16, seen from the other side: the very tensors that enter the poolings."""
    module = frozen(torchvision.models.vgg11(weights=None))
    names = find_blocks(module, noise())
    entering: list[torch.Tensor] = []
    for part in module.modules():
        if isinstance(part, nn.MaxPool2d):
            part.register_forward_pre_hook(lambda _module, inputs: entering.append(inputs[0]))
    blocks = make_classifier(module, names, tuple(map(str, range(1000)))).block_maps(noise(), [0])
    assert len(entering) == len(blocks) == 5
    for maps, block in zip(entering, blocks, strict=True):
        assert torch.equal(maps[0], block.maps)


def test_timm() -> None:
    assert find_blocks(frozen(timm.create_model("resnet18")), noise()) == ("act1", *STAGES)
    before = ("stem.conv", *(f"stages.{stage}.blocks.0.norm1" for stage in (1, 2, 3)), "norm")
    assert find_blocks(frozen(timm.create_model("resnetv2_50")), noise()) == before


def test_torchrays_own_and_the_shipped_network(resnet_layout: object) -> None:
    assert find_blocks(resnet_layout.module, noise()) == BLOCKS["resnet50", "pool-input"]  # type: ignore[attr-defined]
    assert find_blocks(scenes_vgg.load()[0], noise(96)) == scenes_vgg.BLOCKS


def test_no_hook_stays() -> None:
    module = frozen(TinyVGG())
    assert find_blocks(module, noise()) == ("features.1", "features.4", "features.7")
    with pytest.raises(RuntimeError):
        find_blocks(module, torch.zeros(1, 4, 8, 8))
    assert not any(part._forward_hooks for part in module.modules())


class Functional(nn.Module):
    """Activations without modules, a shortcut, two sizes, and a head that pools to one pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.inside = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.norm = nn.BatchNorm2d(4)
        self.down = nn.Conv2d(4, 6, 2, stride=2)
        self.last = nn.Conv2d(6, 6, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Conv2d(6, 5, 1)
        self.twice = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.first(x)
        x = self.norm(x + self.inside(x))
        x = self.twice(torch.relu_(self.down(x)))
        x = self.twice(self.last(x))
        return self.head(self.pool(x)).flatten(1)


def test_what_no_hook_can_read_is_not_chosen() -> None:
    """Not ``inside`` (a shortcut passes it), ``norm``, ``down`` (overwritten), or the head's pixel."""
    assert find_blocks(frozen(Functional()), noise()) == ("first", "last")


@pytest.mark.parametrize("name", ["vit_b_32", "swin_t"])
def test_networks_without_such_maps_are_told_what_to_do(name: str) -> None:
    with pytest.raises(ValueError, match=r"no two sizes of feature maps .* in `blocks`"):
        find_blocks(on_meta(name), noise(224).to("meta"))


def test_a_network_of_one_size_is_refused() -> None:
    module = frozen(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()))
    with pytest.raises(ValueError, match="no two sizes"):
        find_blocks(module, noise())


def test_named_blocks_come_in_the_order_of_the_pass() -> None:
    module = frozen(torchvision.models.resnet18(weights=None))
    assert check_blocks(module, noise(), ["layer4", "layer1.0", "relu"]) == ("relu", "layer1.0", "layer4")
    assert check_blocks(module, noise(), ["layer4"]) == ("layer4",)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("layr4", "no module 'layr4'; did you mean 'layer4'"),
        ("", "no module ''"),
        ("layer1.0.relu", "called 2 times"),
        ("fc", "gives no feature maps"),
        ("bn1", "'bn1': its output is overwritten in place"),
    ],
)
def test_blocks_that_cannot_be_read_are_named(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        check_blocks(frozen(torchvision.models.resnet18(weights=None)), noise(), ["layer1", name])
