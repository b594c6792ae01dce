"""The networks by name, and how a configured one is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.precision import PrecisionName
    from adasise_bench.models.score import ScoreName


class Architecture(NamedTuple):
    """What is known of a network before it is loaded.

    Attributes:
        summary: one line for people.
        maps: feature maps of the last layer of each block, from the input side.
        embedded: whether it belongs to the drawn scenes instead of PASCAL VOC.
        block_sides: which sides of the pooling layers the maps can be read on.
        sliding_side: least shorter side, in pixels, of inputs that are not squares.
    """

    summary: str
    maps: tuple[int, ...]
    embedded: bool
    block_sides: tuple[str, ...]
    sliding_side: int = 1

    def check(self, name: str, blocks: str, embedded: bool, resize: str, input_size: int) -> None:
        """Refuse settings that the network cannot be used with.

        Raises:
            ValueError: one line naming the setting and what is possible.
        """
        if blocks not in self.block_sides:
            raise ValueError(f"models.{name}.blocks: {name} has only {', '.join(self.block_sides)}")
        if resize == "short-side" and input_size < self.sliding_side:
            raise ValueError(
                f"data.input_size: {name} needs at least {self.sliding_side} with data.resize=short-side"
            )
        if embedded != self.embedded:
            needed = (
                "data.root=embedded (the drawn scenes)"
                if self.embedded
                else "PASCAL VOC, not the drawn scenes"
            )
            raise ValueError(f"models.{name}: needs {needed} as data")


ARCHITECTURES: Mapping[str, Architecture] = {
    "vgg16": Architecture(
        "VGG16 for PASCAL VOC by TorchRay (20 classes)",
        (64, 128, 256, 512, 512),
        embedded=False,
        block_sides=("pool-input", "pool-output"),
        sliding_side=193,
    ),
    "resnet50": Architecture(
        "ResNet-50 for PASCAL VOC by TorchRay (20 classes)",
        (64, 256, 512, 1024, 2048),
        embedded=False,
        block_sides=("pool-input",),
    ),
    "scenes_vgg": Architecture(
        "small VGG-style network for the drawn scenes, shipped with the tool (6 classes)",
        (16, 32, 48, 64, 96),
        embedded=True,
        block_sides=("pool-input",),
    ),
}


def load_classifier(
    name: str,
    *,
    checkpoint: Path | None,
    sha256: str | None,
    blocks: str,
    resize: str,
    score: ScoreName,
    precision: PrecisionName,
    device: torch.device,
) -> Classifier:
    """Load a network of :data:`ARCHITECTURES` with its weights verified.

    Args:
        name: architecture.
        checkpoint: local file instead of the published or shipped weights.
        sha256: start of the file's SHA-256, if it must match.
        blocks: side of the pooling layers on which feature maps are read.
        resize: ``short-side`` inputs need a fully convolutional network.
        score: the score Ψ.
        precision: arithmetic of the scoring passes.
        device: where the network will live.

    Raises:
        WeightsError: missing, altered or unfitting weights.
    """
    from adasise_bench.data.scenes import SCENE_CLASSES
    from adasise_bench.data.voc import VOC_CLASSES
    from adasise_bench.models import scenes_vgg, torchray_voc
    from adasise_bench.models.batching import BatchSize
    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.engine import Engine
    from adasise_bench.models.folding import fold_batchnorm

    module: nn.Module
    if ARCHITECTURES[name].embedded:
        module, weights = scenes_vgg.load(checkpoint, sha256)
        classes, names = SCENE_CLASSES, scenes_vgg.BLOCKS
    else:
        module, weights = torchray_voc.load(name, checkpoint, sha256, resize == "short-side")
        classes, names = VOC_CLASSES, torchray_voc.BLOCKS[name, blocks]
    module = fold_batchnorm(module).to(device)
    return Classifier(
        name, module, classes, names, score, precision, weights, device, BatchSize(1), Engine("contiguous", 1)
    )
