"""Loads a network that comes with the tool."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adasise_bench.data.config import DataKind

if TYPE_CHECKING:
    import torch
    from torch import nn

    from adasise_bench.models.classifier import Classifier
    from adasise_bench.models.score import ScoreName
    from adasise_bench.utils.precision import PrecisionName


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
        sha256: start of the file's SHA-256, which is then checked.
        blocks: side of the pooling layers on which feature maps are read.
        resize: inputs of ``short-side`` need a fully convolutional network.
        score: the score Ψ.
        precision: arithmetic of the scoring passes.
        device: where the network will live.
        deterministic: whether its gradients must be repeatable.

    Raises:
        WeightsError: the weights are missing, altered, or of another network.
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
