"""A small VGG-style network for the drawn scenes; its weights come with the package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from adasise_bench.models import checkpoint
from adasise_bench.models.classifier import Weights
from adasise_bench.models.state import load_state

INPUT_SIZE = 96
"""Side of the square input in pixels."""

WEIGHTS = Path(__file__).with_name("scenes_vgg.safetensors")
"""The weights of a :class:`ScenesVGG`, made by ``scripts/train_scenes_vgg.py``."""

_WIDTHS = ((16,), (32,), (48, 48), (64, 64), (96, 96))


class ScenesVGG(nn.Module):
    """Five blocks of 3x3 convolutions and max pooling, global average pooling, one linear layer.

    Args:
        classes: number of outputs.
    """

    def __init__(self, classes: int = 6) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for block in _WIDTHS:
            for width in block:
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(channels, classes)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Raw outputs, (N, C), of (N, 3, H, W) pictures: RGB in 0..255 minus the Caffe mean."""
        pooled = self.pool(self.features(inputs)).flatten(1)
        outputs: torch.Tensor = self.classifier(pooled)
        return outputs


def load(path: Path | None = None, sha256: str | None = None) -> tuple[ScenesVGG, Weights]:
    """Build the network with the shipped weights, or those of another file.

    Args:
        path: safetensors file, by default the shipped one.
        sha256: start of the file's SHA-256, which is then checked.

    Returns:
        The network in evaluation mode, parameters without gradient; and its weights.

    Raises:
        WeightsError: the file is missing, has another hash, or does not fit.
    """
    path = path or WEIGHTS
    digest = checkpoint.verify(path, sha256)
    module = ScenesVGG()
    load_state(path, module, "scenes_vgg")
    return module.eval().requires_grad_(False), Weights(path.name, digest, published=False)
