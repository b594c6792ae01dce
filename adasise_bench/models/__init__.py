"""The networks by name, and how a configured one is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.precision import PrecisionName
    from adasise_bench.models.score import ScoreName


DataKind = Literal["voc", "coco", "scenes"]

_DATA = {
    "voc": "PASCAL VOC",
    "coco": "COCO (data.layout=coco)",
    "scenes": "the drawn scenes (data.root=embedded)",
}


class Architecture(NamedTuple):
    """What is known of a network before it is loaded.

    Attributes:
        summary: one line for people.
        maps: feature maps of the last layer of each block, from the input side.
        data: the kinds of data that there are weights for.
        block_sides: which sides of the pooling layers the maps can be read on.
        sliding_side: least shorter side, in pixels, of inputs that are not squares.
    """

    summary: str
    maps: tuple[int, ...]
    data: tuple[DataKind, ...]
    block_sides: tuple[str, ...]
    sliding_side: int = 1

    def check(self, name: str, blocks: str, data: DataKind, resize: str, input_size: int) -> None:
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
        if data not in self.data:
            needed = " or ".join(_DATA[kind] for kind in self.data)
            raise ValueError(f"models.{name}: needs {needed} as data, not {_DATA[data]}")


ARCHITECTURES: Mapping[str, Architecture] = {
    "vgg16": Architecture(
        "VGG16 by TorchRay for PASCAL VOC (20 classes) or COCO (80)",
        (64, 128, 256, 512, 512),
        data=("voc", "coco"),
        block_sides=("pool-input", "pool-output"),
        sliding_side=193,
    ),
    "resnet50": Architecture(
        "ResNet-50 by TorchRay for PASCAL VOC (20 classes) or COCO (80)",
        (64, 256, 512, 1024, 2048),
        data=("voc", "coco"),
        block_sides=("pool-input",),
    ),
    "scenes_vgg": Architecture(
        "small VGG-style network for the drawn scenes, shipped with the tool (6 classes)",
        (16, 32, 48, 64, 96),
        data=("scenes",),
        block_sides=("pool-input",),
    ),
}


def load_classifier(
    name: str,
    *,
    data: DataKind = "voc",
    checkpoint: Path | None,
    sha256: str | None,
    blocks: str,
    resize: str,
    score: ScoreName,
    precision: PrecisionName,
    device: torch.device,
    deterministic: bool = False,
) -> Classifier:
    """Load a network of :data:`ARCHITECTURES` with its weights verified.

    Args:
        name: architecture.
        data: which data's weights.
        checkpoint: local file instead of the published or shipped weights.
        sha256: start of the file's SHA-256, if it must match.
        blocks: side of the pooling layers on which feature maps are read.
        resize: ``short-side`` inputs need a fully convolutional network.
        score: the score Ψ.
        precision: arithmetic of the scoring passes.
        device: where the network will live.
        deterministic: whether its gradients must be repeatable.

    Raises:
        WeightsError: missing, altered or unfitting weights.
    """
    from adasise_bench.data.coco import COCO_CLASSES
    from adasise_bench.data.scenes import SCENE_CLASSES
    from adasise_bench.data.voc import VOC_CLASSES
    from adasise_bench.models import scenes_vgg, torchray_networks
    from adasise_bench.models.batching import BatchSize
    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.engine import Engine
    from adasise_bench.models.preparation import prepared

    module: nn.Module
    if name == "scenes_vgg":
        module, weights = scenes_vgg.load(checkpoint, sha256)
        classes, names = SCENE_CLASSES, scenes_vgg.BLOCKS
    else:
        module, weights = torchray_networks.load(name, data, checkpoint, sha256, resize == "short-side")
        classes = COCO_CLASSES if data == "coco" else VOC_CLASSES
        names = torchray_networks.BLOCKS[name, blocks]
    module = prepared(module, device, repeatable=deterministic)
    return Classifier(
        name, module, classes, names, score, precision, weights, device, BatchSize(1), Engine("contiguous", 1)
    )
