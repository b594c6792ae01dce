"""The networks that come with the tool, and what is known of them before they are loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

from adasise_bench.data.coco import COCO_CLASSES
from adasise_bench.data.config import DataKind
from adasise_bench.data.scenes import SCENE_CLASSES
from adasise_bench.data.voc import VOC_CLASSES

if TYPE_CHECKING:
    from torch import nn

    from adasise_bench.models.classifier import Weights

_DATA = {
    "voc": "PASCAL VOC",
    "coco": "COCO (data.layout=coco)",
    "scenes": "the drawn scenes (data.root=embedded)",
}


class Architecture(NamedTuple):
    """What is known of a network before it is loaded.

    Attributes:
        summary: one line for people.
        loader: ``module:function`` below ``adasise_bench.models``, which builds the network and loads its
            weights. The function's parameters are named after what is known of the network that is wanted,
            see :func:`.load_classifier`.
        maps: number of feature maps at the end of each block, from the input side.
        blocks: names of the modules at the end of each block, from the input side, by the setting ``blocks``.
        classes: names of the outputs in order, for each kind of data that there are weights for.
        input_size: default side of the input in pixels when one picture is explained.
        sliding_side: the least length, in pixels, of the shorter side of inputs that are not squares.
        title: the name that tables and figures print; without one, the name in the configuration.
        unloaded: as ``loader``, for building the network without its weights where these may not be here;
            empty where they come with the tool.
    """

    summary: str
    loader: str
    maps: tuple[int, ...]
    blocks: Mapping[str, tuple[str, ...]]
    classes: Mapping[DataKind, tuple[str, ...]]
    input_size: int = 224
    sliding_side: int = 1
    title: str = ""
    unloaded: str = ""

    def load(self, *, weights: bool = True) -> Callable[..., tuple[nn.Module, Weights]]:
        """Import the loader, or the function that builds the network without weights that may not be here."""
        location = self.loader if weights or not self.unloaded else self.unloaded
        module, _, name = location.partition(":")
        loaded: Callable[..., tuple[nn.Module, Weights]] = getattr(
            import_module(f"adasise_bench.models.{module}"), name
        )
        return loaded

    def check(self, name: str, blocks: str, data: DataKind, resize: str, input_size: int) -> None:
        """Refuse settings that the network cannot be used with.

        Raises:
            ValueError: one line naming the setting and what is possible.
        """
        if blocks not in self.blocks:
            raise ValueError(f"models.{name}.blocks: {name} has only {', '.join(self.blocks)}")
        if resize == "short-side" and input_size < self.sliding_side:
            raise ValueError(
                f"data.input_size: {name} needs at least {self.sliding_side} with data.resize=short-side"
            )
        if data not in self.classes:
            needed = " or ".join(_DATA[kind] for kind in self.classes)
            raise ValueError(f"models.{name}: needs {needed} as data, not {_DATA[data]}")


ARCHITECTURES: Mapping[str, Architecture] = {
    "vgg16": Architecture(
        "VGG16 by TorchRay for PASCAL VOC (20 classes) or COCO (80)",
        "torchray_networks:load",
        maps=(64, 128, 256, 512, 512),
        blocks={
            "pool-input": ("features.3", "features.8", "features.15", "features.22", "features.29"),
            "pool-output": ("features.4", "features.9", "features.16", "features.23", "features.30"),
        },
        classes={"voc": VOC_CLASSES, "coco": COCO_CLASSES},
        sliding_side=193,
        title="VGG16",
        unloaded="torchray_networks:unloaded",
    ),
    "resnet50": Architecture(
        "ResNet-50 by TorchRay for PASCAL VOC (20 classes) or COCO (80)",
        "torchray_networks:load",
        maps=(64, 256, 512, 1024, 2048),
        blocks={"pool-input": ("relu", "layer1", "layer2", "layer3", "layer4")},
        classes={"voc": VOC_CLASSES, "coco": COCO_CLASSES},
        title="ResNet-50",
        unloaded="torchray_networks:unloaded",
    ),
    "scenes_vgg": Architecture(
        "small VGG-style network for the drawn scenes, shipped with the tool (6 classes)",
        "scenes_vgg:load",
        maps=(16, 32, 48, 64, 96),
        blocks={"pool-input": ("features.1", "features.4", "features.9", "features.14", "features.19")},
        classes={"scenes": SCENE_CLASSES},
        input_size=96,
    ),
}
