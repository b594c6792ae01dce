"""Blocks found by tracing: those that people name by hand, for the reasons stated."""

from __future__ import annotations

import copy
import importlib.util
import re
import sys
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import pytest
import timm
import torch
import torchvision
from conftest import TinyVGG, make_classifier
from torch import nn

from adasise_bench.models import scenes_vgg
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.blocks import check_blocks, find_blocks, search_blocks

ROOT = Path(__file__).parents[2]
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
        ("vgg16", ARCHITECTURES["vgg16"].blocks["pool-input"]),
        ("resnet50", ARCHITECTURES["resnet50"].blocks["pool-input"]),
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


@pytest.fixture(scope="module")
def block_table() -> ModuleType:
    """scripts/block_table.py as a module."""
    spec = importlib.util.spec_from_file_location("block_table", ROOT / "scripts/block_table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["block_table"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torchvision efficientnet_v2_s",
         ("features.1", "features.2", "features.4.0.block.0", "features.6.0.block.0", "features")),
        ("timm coatnet_nano_rw_224", ("stem", "stages.0", "stages.1", "stages.2", "stages")),
        ("timm efficientformer_l1",
         ("stem.act1", "stages.0", "stages.1", "stages.2", "stages")),
        ("timm fastvit_t8", ("stem.0", "stages.0", "stages.1", "stages.2", "final_conv")),
        ("timm inception_v4", ("features.2", "features.4", "features.9", "features.17", "features")),
        ("timm mobilevitv2_050",
         (*(f"stages.{stage}.0.conv1_1x1" for stage in (1, 2, 3, 4)), "stages")),
        ("timm nextvit_small", ("stem.2", "stages.0", "stages.1", "stages.2", "stages")),
        ("timm resnetv2_50",
         ("stem.conv", *(f"stages.{stage}.blocks.0.norm1" for stage in (1, 2, 3)), "norm")),
        ("timm shvit_s1",
         ("patch_embed.1", "patch_embed.3", "patch_embed.5", "stages.1.downsample.2.act1",
          "stages.2.downsample.2.act1", "stages")),
        ("timm swiftformer_xs", ("stem.2", "stages.0", "stages.1", "stages.2", "stages")),
        ("timm tf_efficientnetv2_b0", ("blocks.0", "blocks.1", "blocks.3.0.bn1", "blocks.5.0.bn1", "bn2")),
        ("timm tiny_vit_5m_224",
         ("patch_embed.act", *(f"stages.{stage}.downsample.act1" for stage in (1, 2, 3)), "stages")),
        ("timm xception41", ("stem", "blocks.0", "blocks.1", "blocks.10", "blocks")),
    ],
)  # fmt: skip
def test_a_block_is_the_very_tensor_that_a_layer_makes_smaller(
    block_table: ModuleType, name: str, expected: tuple[str, ...]
) -> None:
    """Seen from the other side: a layer without parts takes it and gives less than half of the positions."""
    with torch.device("meta"):
        module, side = block_table.build(*name.split())
    image = noise(side).to("meta")
    assert find_blocks(module, image) == expected
    shrunk: list[torch.Tensor] = []
    given: dict[str, torch.Tensor] = {}

    def watch(part_name: str, part: nn.Module) -> None:
        def note(_module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            if not isinstance(output, torch.Tensor) or output.ndim != 4:
                return
            given[part_name] = output
            entered = inputs[0]
            assert isinstance(entered, torch.Tensor)
            if not [*part.children()] and entered[0, 0].numel() >= 2.25 * output[0, 0].numel():
                shrunk.append(entered)

        part.register_forward_hook(note)

    for part_name, part in module.named_modules():
        watch(part_name, part)
    with torch.no_grad():
        module(image)
    for block in expected[:-1]:
        assert any(given[block] is entered for entered in shrunk), block


@pytest.mark.parametrize(
    "name",
    [
        "torchvision alexnet", "torchvision inception_v3", "torchvision mobilenet_v2", "torchvision resnet18",
        "torchvision swin_t", "timm efficientformerv2_s0", "timm efficientvit_m0", "timm fastvit_t8",
        "timm hgnetv2_b0", "timm hrnet_w18_small", "timm levit_conv_128s", "timm mambaout_femto",
        "timm swiftformer_xs", "timm tf_efficientnetv2_b0", "timm xcit_nano_12_p16_224",
    ],
)  # fmt: skip
def test_the_page_of_blocks_is_what_the_script_writes(block_table: ModuleType, name: str) -> None:
    line, is_found = block_table.row(*name.split())
    found, refused = (ROOT / "docs/blocks.md").read_text(encoding="utf-8").split(block_table.REFUSED)
    assert line in (found if is_found else refused)


@pytest.mark.parametrize("family", ["ViT", "DeiT, distilled", "Swin", "ConvNeXt", "PiT"])
def test_the_pages_families_are_what_the_script_writes(block_table: ModuleType, family: str) -> None:
    line = block_table.family_row(family)
    assert line in (ROOT / "docs/blocks.md").read_text(encoding="utf-8")
    assert line.endswith("| yes | yes |\n")


def test_the_page_of_blocks_has_the_scripts_text_and_networks(block_table: ModuleType) -> None:
    page = (ROOT / "docs/blocks.md").read_text(encoding="utf-8")
    rows = re.compile(r"^\| (torchvision|timm) (\S+) .*\n", re.MULTILINE)
    releases = re.compile(r"^Made with .*$", re.MULTILINE)
    assert sorted(rows.findall(page)) == sorted(block_table.names())
    families = re.compile(r"^\| [^|]+ \| \w+ \| \d+ \|.* (yes|no) \|\n", re.MULTILINE)
    text = releases.sub("", families.sub("", rows.sub("", page)))
    assert text == releases.sub("", block_table.page([], []))
    assert len(families.findall(page)) == len(block_table.FAMILIES) >= 30
    assert len(rows.findall(page.split(block_table.REFUSED)[0])) >= 40


def test_torchrays_own_and_the_shipped_network(resnet_layout: object) -> None:
    assert find_blocks(resnet_layout.module, noise()) == ARCHITECTURES["resnet50"].blocks["pool-input"]  # type: ignore[attr-defined]
    assert find_blocks(scenes_vgg.load()[0], noise(96)) == ARCHITECTURES["scenes_vgg"].blocks["pool-input"]


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
    """Not ``inside`` (a shortcut passes it), the sum (no module's), ``down`` (overwritten), or the head's
    pixel. ``norm`` is the input of the down-sampling, and nothing before it has all of that size's layers.
    """
    assert find_blocks(frozen(Functional()), noise()) == ("norm", "last")


def sequence(*parts: nn.Module) -> nn.Module:
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return frozen(nn.Sequential(*parts, *head))


def conv(inputs: int = 4, **options: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, 4, 3, **options)


def test_a_convolution_without_padding_is_no_down_sampling() -> None:
    """Sizes 64, 62, 60, pooled to 30, 28, 26."""
    module = sequence(
        conv(3), nn.ReLU(), conv(), nn.ReLU(), nn.MaxPool2d(2), conv(), nn.ReLU(), conv(), nn.ReLU()
    )
    assert find_blocks(module, noise()) == ("3", "8")


@pytest.mark.parametrize("side", [3, 5, 6])
def test_every_stride_of_two_is_down_sampling(side: int) -> None:
    """Also where 3 x 3 pixels become 2 x 2, which is the smallest factor that it can have."""
    module = sequence(conv(3, padding=1), conv(stride=2, padding=1), nn.ReLU())
    assert find_blocks(module, noise(side)) == ("0", "2")


def test_what_belongs_to_the_down_sampling_is_left_out() -> None:
    """A normalisation of the input, and convolutions that are only averaged; not that of a convolution."""
    average = (nn.Conv2d(4, 4, 1), nn.AvgPool2d(2))
    module = sequence(
        conv(3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), *average, conv(padding=1), nn.BatchNorm2d(4)
    )
    assert find_blocks(module, noise()) == ("2", "6")
    maximum = (nn.Conv2d(4, 4, 1), nn.MaxPool2d(2))
    module = sequence(conv(3), nn.ReLU(), *maximum, conv(), nn.ReLU(), nn.BatchNorm2d(4))
    assert find_blocks(module, noise()) == ("2", "5")


def test_pooled_maps_are_no_block() -> None:
    """Neither those of a pooling without a stride, nor those on which no layer works before the next one."""
    module = sequence(
        conv(3), nn.ReLU(), nn.MaxPool2d(2, stride=1), conv(stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.ReLU(),
        conv(stride=2), nn.ReLU(),
    )  # fmt: skip
    assert find_blocks(module, noise()) == ("1", "4", "8")


class Enlarged(nn.Module):
    """A network for inputs of one size, as those of many libraries, to which it stretches others."""

    def __init__(self, network: nn.Module, side: int) -> None:
        super().__init__()
        self.network, self.side = network, side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.network(nn.functional.interpolate(x, (self.side, self.side)))
        return outputs


@pytest.mark.parametrize("side", [50, 100, 200])
def test_a_network_that_enlarges_its_input_has_the_same_blocks(side: int) -> None:
    network = frozen(torchvision.models.get_model("resnet18", weights=None))
    expected = tuple(f"network.{name}" for name in ("relu", *STAGES))
    assert find_blocks(Enlarged(network, side), noise(48)) == expected


def test_larger_maps_than_before_are_left_out() -> None:
    module = sequence(
        conv(3),
        nn.MaxPool2d(4),
        conv(),
        nn.ReLU(),
        nn.Upsample(scale_factor=4),
        conv(),
        nn.MaxPool2d(8),
        conv(),
    )
    assert find_blocks(module, noise()) == ("0", "3", "7")


class Tokens(nn.Module):
    """Units of two linear layers over the pixels, which are never given as (N, C, h, w)."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.units = nn.ModuleList(
            nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 4)) for _ in range(units)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).transpose(1, 2)
        for unit in self.units:
            x = x + unit(x)
        return x.mean(1)


def test_a_copy_whose_forward_pass_runs_the_layers_of_the_original_is_told_why() -> None:
    original = frozen(TinyVGG())
    plain = original.forward
    original.forward = lambda x: plain(x)
    with pytest.raises(ValueError, match=r"runs none of the network's modules; .* make it a method of the"):
        find_blocks(copy.deepcopy(original), noise(48))


def test_layers_behind_a_block_are_counted_and_most_of_them_refused() -> None:
    parts = conv(3), nn.ReLU(), conv(stride=2), nn.ReLU(), conv(stride=2), nn.ReLU()
    few = search_blocks(frozen(nn.Sequential(*parts, Tokens(1))), noise())
    assert [(block.name, block.maps, block.size, block.before, block.behind) for block in few] == [
        ("1", 4, (62, 62), 1, 0), ("3", 4, (30, 30), 1, 0), ("5", 4, (14, 14), 1, 2)
    ]  # fmt: skip
    with pytest.raises(
        ValueError, match=r"8 of 9 layers of about 14 x 14 positions lie behind '5'.*`blocks`"
    ):
        find_blocks(frozen(nn.Sequential(*parts, Tokens(4))), noise())


def test_a_network_of_one_layer_is_told_what_to_do() -> None:
    with pytest.raises(ValueError, match=r"no two places at which all later layers read .* in `blocks`"):
        find_blocks(sequence(conv(3), nn.ReLU()), noise())


def test_a_network_of_one_size_is_read_behind_each_quarter_of_its_layers() -> None:
    six = [part for _ in range(5) for part in (conv(padding=1), nn.ReLU())]
    module = sequence(conv(3, padding=1), nn.ReLU(), *six)
    assert find_blocks(module, noise()) == ("3", "5", "9", "11")  # 2, 3, 5 and 6 layers of 6
    assert find_blocks(sequence(conv(3), nn.ReLU(), conv(), nn.ReLU()), noise()) == ("1", "3")


def test_torchvisions_swin_is_read_where_its_channels_come_last() -> None:
    assert find_blocks(on_meta("swin_t"), noise(224).to("meta")) == (
        "features.1", "features.3", "features.5", "permute"
    )  # fmt: skip


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
