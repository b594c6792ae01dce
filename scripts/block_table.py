"""Write docs/blocks.md: the blocks that are found in networks of torchvision and timm.

    python scripts/block_table.py

Weights are random, and nothing is downloaded. It takes a few minutes on one core.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import timm
import torch
import torchvision
from torch import nn

from adasise_bench.methods.base import Request
from adasise_bench.methods.cam.grad_cam import GradCam
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.blocks import Block, search_blocks
from adasise_bench.models.classifier import Classifier, Weights
from adasise_bench.models.engine import Engine
from adasise_bench.models.tokens import possible_prefixes
from adasise_bench.utils.timing import PhaseClock

PAGE = Path(__file__).parents[1] / "docs/blocks.md"

NETWORKS = {
    "torchvision": """
        alexnet convnext_tiny densenet121 efficientnet_b0 efficientnet_v2_s googlenet inception_v3 maxvit_t
        mnasnet0_5 mobilenet_v2 mobilenet_v3_small regnet_x_400mf resnet18 resnet50 resnext50_32x4d
        shufflenet_v2_x0_5 squeezenet1_1 swin_t vgg11_bn vgg16 vit_b_32 wide_resnet50_2
    """,
    "timm": """
        bat_resnext26ts botnet26t_256 caformer_s18 coat_tiny coatnet_nano_rw_224 convformer_s18 convit_tiny
        convnext_atto convnextv2_atto cs3darknet_s csatv2 cspresnet50 darknet53 davit_tiny densenet121 dla34
        dpn48b eca_resnet33ts edgenext_xx_small efficientformer_l1 efficientformer_l7 efficientformerv2_s0
        efficientnet_b0 efficientnet_es efficientnet_lite0 efficientvit_b0 efficientvit_m0 ese_vovnet19b_dw
        fasternet_t0 fastvit_t8 fbnetc_100 focalnet_tiny_srf gcresnet33ts gcvit_xxtiny gernet_s ghostnet_050
        ghostnetv2_100 halonet26t hardcorenas_a hgnet_tiny hgnetv2_b0 hieradet_small hrnet_w18_small
        inception_next_atto inception_resnet_v2 inception_v4 lambda_resnet26t lcnet_035 legacy_seresnet18
        levit_128s levit_conv_128s mambaout_femto maxvit_pico_rw_256 mixer_s16_224 mixnet_s
        mobilenetv4_conv_small mobilenetv4_hybrid_medium mobileone_s0 mobilevit_xxs mobilevitv2_050
        mvitv2_tiny nest_tiny nextvit_small nf_resnet26 nfnet_f0 pit_ti_224 poolformer_s12 poolformerv2_s12
        pvt_v2_b0 rdnet_tiny regnety_002 regnetz_b16 repghostnet_050 repvgg_a0 repvit_m0_9 res2net50_14w_8s
        resnest14d resnet10t resnet18 resnet50_clip resnetblur50 resnetv2_50 rexnet_100 selecsls42
        semnasnet_050 sequencer2d_s shvit_s1 skresnet18 spnasnet_100 starnet_s1 swiftformer_xs
        swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 tf_efficientnetv2_b0 tf_efficientnetv2_s
        tf_mobilenetv3_small_minimal_100 tiny_vit_5m_224 tinynet_e tresnet_m twins_svt_small visformer_tiny
        vit_tiny_r_s16_p8_224 vit_tiny_patch16_224 vitamin_small_224 volo_d1_224 vovnet39a xception
        xception41 xcit_nano_12_p16_224
    """,
}

FAMILIES = {
    "CaiT": "cait_xxs24_224",
    "CoAtNet": "coatnet_nano_rw_224",
    "CoaT": "coat_lite_tiny",
    "ConvNeXt": "convnext_atto",
    "ConviT": "convit_tiny",
    "CrossViT": "crossvit_tiny_240",
    "DeiT": "deit_tiny_patch16_224",
    "DeiT, distilled": "deit_tiny_distilled_patch16_224",
    "EdgeNeXt": "edgenext_xx_small",
    "EfficientFormer": "efficientformer_l1",
    "EVA-02": "eva02_tiny_patch14_224",
    "GC ViT": "gcvit_xxtiny",
    "Hiera": "hiera_tiny_224",
    "LeViT": "levit_128s",
    "MambaOut": "mambaout_femto",
    "MaxViT": "maxvit_pico_rw_256",
    "MLP-Mixer": "mixer_s16_224",
    "MobileViT": "mobilevit_xxs",
    "MViTv2": "mvitv2_tiny",
    "NesT": "nest_tiny",
    "PiT": "pit_ti_224",
    "PoolFormer": "poolformer_s12",
    "PVTv2": "pvt_v2_b0",
    "ResMLP": "resmlp_12_224",
    "Swin": "swin_tiny_patch4_window7_224",
    "Swin V2": "swinv2_tiny_window8_256",
    "TinyViT": "tiny_vit_5m_224",
    "TNT": "tnt_s_patch16_224",
    "Twins": "twins_svt_small",
    "ViT": "vit_tiny_patch16_224",
    "ViT behind a ResNet": "vit_tiny_r_s16_p8_224",
    "ViT with registers": "vit_wee_patch16_reg1_gap_256",
    "VOLO": "volo_d1_224",
    "XCiT": "xcit_nano_12_p16_224",
}
"""Families of timm's transformers, hybrids and their relatives, each by its smallest network."""

INTRODUCTION = """\
# Blocks that are found

- [What is read](#what-is-read)
- [Networks whose blocks you may want to name](#networks-whose-blocks-you-may-want-to-name)
- [Transformers and hybrids](#transformers-and-hybrids)
- [Networks whose blocks are found](#networks-whose-blocks-are-found)
- [Networks whose blocks must be named](#networks-whose-blocks-must-be-named)

## What is read

SISE reads the feature maps at the end of each block of a network, where down-sampling follows. `blocks:
auto` finds these places: it reads the input of each down-sampling layer, and of the global pooling. These
are the rules:

- A layer is down-sampling if it shrinks height and width by a factor of about 1.5 or more. A convolution
  without padding (149 to 147 in Inception) is not down-sampling.
- In a residual unit with a stride, the input is what both the main path and the shortcut receive, which is
  the output of the stage before. Pre-activation networks (ResNetV2, NFNet) activate it first, for both
  paths.
- An inverted bottleneck with a stride (MobileNet, EfficientNet) has no shortcut. Its 1 x 1 convolution
  comes before the depthwise convolution with the stride, so its input is the expanded maps, and not the
  output of the stage before. A fused inverted bottleneck (in the first stages of EfficientNetV2) starts
  with the convolution with the stride. Its input is the output of the stage before.
- A normalisation between two stages (ConvNeXt) belongs to the down-sampling. So does a convolution whose
  output is only averaged (DenseNet).
- A block is named by a module whose output a hook can read. If no module gives the input itself, the
  nearest earlier tensor is taken on which everything later depends. The stem of HGNetV2 concatenates
  outside of modules. EfficientViT-M calls one activation several times, so its maps are read before that
  activation.
- Maps are read as (N, C, h, w), from channels that come last (N, h, w, C), and from tokens (N, p + h x w, C)
  without the p tokens in front, which are the class token and registers.
- If all maps have one size, as in most vision transformers, nothing is down-sampled. Four places are then
  taken, behind each quarter of the layers.

## Networks whose blocks you may want to name

Blocks of these networks are found, but other blocks may suit you better:

- SqueezeNet averages one map per class, so the maps of its last block are the class scores. `features`
  names the maps before that classifier.
- CLIP's ResNets end in attention, which counts as the global pooling.

`scripts/block_table.py` wrote the tables below, from one forward pass of each network with random weights.
Made with torchvision {torchvision} and timm {timm}.

## Transformers and hybrids

- **Tokens in front.** timm's networks say how many there are. For other networks 0 and 1 are tried, so that
  h x w is a grid with the proportions of the input; `tokens: 5` says another number. The methods see and
  change the tokens of positions only. Those in front stay as they are.
- **Class token.** If only the class token enters the head, the last unit's output has no gradient at the
  positions. It is not chosen, and refused if it is named. `blocks.11.norm1`, the normalisation in front of
  the last attention of a network of twelve units, is what pytorch-grad-cam recommends, and may be named.
- **Order.** Tokens must lie in the order of the picture's positions, row by row. This is tried once, with
  another picture in one quarter. Hiera has another order and is refused.
- **HiResCAM** is nearly 0 if the layer's output only enters a LayerNorm, which does not see how long a
  vector is. Name the normalisation itself as `layer`.
- **Size.** Networks with position embeddings take inputs of the size that they were made for, unless
  `options: {{img_size: 96}}` or `{{dynamic_img_size: true}}` says otherwise.

The smallest network of each of {families} families, with random weights. "SISE" says whether every block
has feature maps with a positive gradient, which can become masks, and "Grad-CAM" whether the map of the
last block is not 0. "Tokens behind 1" are those behind one token in front.

{table}
## Networks whose blocks are found

"`layer1` 256 x 56 (10 + 1)" means three things. The module `layer1` gives 256 maps of 56 x 56 pixels. Ten
layers of about this size lead to it. One layer of this size comes after it, in the next unit, before the
stride. Layers are convolutions and linear layers; a depthwise convolution and its pointwise convolution
count as one.
"""

REFUSED = """
## Networks whose blocks must be named

The tool refuses these networks under `blocks: auto`. At some size, no module gives most of what they
compute, because branches of several sizes run side by side (HRNet, CoaT, CrossViT), or tokens have an order
of their own (Hiera). Set `blocks` to modules that give maps or tokens, or wrap the network in a module of
your own that returns them.
"""


_FAMILY_COLUMNS = (
    "| family | network | input | maps from | blocks | SISE | Grad-CAM |\n|---|---|---|---|---|---|---|\n"
)


def page(networks: list[tuple[str, str]], families: Iterable[str]) -> str:
    """The text of docs/blocks.md with these networks (library, name) and families."""
    found: list[str] = []
    refused: list[str] = []
    for library, name in networks:
        line, is_found = row(library, name)
        (found if is_found else refused).append(line)
    head = INTRODUCTION.format(
        torchvision=_release(torchvision),
        timm=_release(timm),
        families=len(FAMILIES),
        table=_FAMILY_COLUMNS + "".join(family_row(family) for family in families),
    )
    columns = "\n| network | input | blocks: maps x side (layers up to it + after it) |\n|---|---|---|\n"
    reasons = "\n| network | input | reason |\n|---|---|---|\n"
    return "".join([head, columns, *found, REFUSED, reasons, *refused])


def row(library: str, name: str) -> tuple[str, bool]:
    """A network's line of the table, and whether blocks were found."""
    network, side = build(library, name)
    try:
        text, is_found = ", ".join(map(_shown, search_blocks(network, torch.randn(1, 3, side, side)))), True
    except ValueError as error:
        text, is_found = str(error).partition("; ")[0], False
    return f"| {library} {name} | {side} | {text} |\n", is_found


def family_row(family: str) -> str:
    """A family's line of the table of transformers: what is found, and which methods then have something."""
    name = FAMILIES[family]
    torch.manual_seed(0)
    network, side = build("timm", name)
    image = torch.randn(1, 3, side, side)
    try:
        blocks = search_blocks(network, image)
    except ValueError as error:
        return f"| {family} | {name} | {side} |  | {str(error).partition('; ')[0]} | no | no |\n"
    classifier = Classifier(
        name, network, tuple(map(str, range(1000))), tuple(block.name for block in blocks), "softmax", "fp32",
        Weights("random weights", "", False), torch.device("cpu"), BatchSize(1), Engine("contiguous", 1),
        prefixes=possible_prefixes(network, None),
    )  # fmt: skip
    positive = [bool((found.gradients > 0).any()) for found in classifier.block_maps(image, [0])]
    method = GradCam()
    saliency = method.explain(classifier, Request(method, image, 0), PhaseClock(classifier.device)).saliency
    found = ", ".join(f"`{block.name}` {_size(block)}" for block in blocks)
    origins = ", ".join(dict.fromkeys(map(_origin, blocks)))
    works = [("no", "yes")[bool(fact)] for fact in (all(positive), saliency.any())]
    return f"| {family} | {name} | {side} | {origins} | {found} | {' | '.join(works)} |\n"


def _origin(block: Block) -> str:
    """From what the block's maps are read."""
    if block.layout.kind == "tokens":
        return f"tokens behind {block.layout.prefix}" if block.layout.prefix else "tokens"
    return block.layout.kind.replace("-", " ")


def build(library: str, name: str) -> tuple[nn.Module, int]:
    """A network with random weights in evaluation mode, and the side of the input that it was made for."""
    if library == "timm":
        network: Any = timm.create_model(name)
        side = network.pretrained_cfg["input_size"][1]
    else:
        own = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        network = torchvision.models.get_model(name, weights=None, **own)
        side = 299 if name == "inception_v3" else 224
    for module in network.modules():  # a head that begins as zeros says nothing of what is before it
        if isinstance(module, nn.Linear) and not module.weight.is_meta and not module.weight.any():
            nn.init.normal_(module.weight)
    return network.eval().requires_grad_(False), side


def names() -> list[tuple[str, str]]:
    """All networks of the page, as (library, name)."""
    return [(library, name) for library, listed in NETWORKS.items() for name in listed.split()]


def _shown(block: Block) -> str:
    return f"`{block.name}` {_size(block)} ({block.before} + {block.behind})"


def _size(block: Block) -> str:
    height, width = block.size
    return f"{block.maps} x {height}" if height == width else f"{block.maps} x {height} x {width}"


def _release(library: object) -> str:
    return str(getattr(library, "__version__", "")).partition("+")[0]


@click.command(help=__doc__)
@click.option("--output", type=click.Path(path_type=Path), default=PAGE, show_default=True)
def main(output: Path) -> None:
    """Write the page."""
    warnings.filterwarnings("ignore", category=UserWarning)
    torch.manual_seed(0)
    output.write_text(page(names(), FAMILIES), encoding="utf-8")


if __name__ == "__main__":
    main()
