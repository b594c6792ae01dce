"""The networks that come with the tool, and what is known of them before they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from adasise_bench.data.config import DataKind

if TYPE_CHECKING:
    pass

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
        data: the kinds of data for which there are weights.
        block_sides: which sides of the pooling layers the maps can be read on.
        sliding_side: the least length, in pixels, of the shorter side of inputs that are not squares.
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
