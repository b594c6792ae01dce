"""OpenVINO's outputs are torch's, whatever the batch; what it cannot convert, or gets wrong, torch runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from adasise_bench.data.scenes import draw_scene
from adasise_bench.data.transforms import to_input
from adasise_bench.methods.masking import score_masks
from adasise_bench.models import torchray_networks
from adasise_bench.models.backends.openvino import OpenVino
from adasise_bench.models.backends.probe import masked_noise
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import LAYOUTS, Engine, LayoutName
from adasise_bench.models.loading import load_classifier
from adasise_bench.models.preparation import prepared
from conftest import make_classifier

pytest.importorskip("openvino")
CPU = torch.device("cpu")
"""Where it is installed: CI has it."""


def torchray(name: str) -> Classifier:
    """TorchRay's network with random weights, as a run prepares it; outputs of every size that real ones have."""
    torch.manual_seed(7)
    module = torchray_networks.build(name, 20)
    for part in module.modules():  # random weights alone let all outputs of deep networks be equal
        if isinstance(part, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
            if part.bias is not None:
                nn.init.uniform_(part.bias, -0.1, 0.1)
    blocks = torchray_networks.BLOCKS[name, "pool-input"]
    classes = tuple("abcdefghijklmnopqrst")
    return make_classifier(prepared(module.eval(), CPU, repeatable=False), blocks, classes)


def scenes() -> Classifier:
    return load_classifier(
        "scenes_vgg", checkpoint=None, sha256=None, blocks="pool-input", resize="stretch",
        score="softmax", precision="fp32", device=CPU,
    )  # fmt: skip


def inputs_like(count: int, side: int, classifier: Classifier, layout: LayoutName) -> torch.Tensor:
    noise = masked_noise(torch.Size([count, 3, side, side]), classifier.preprocessing)
    return noise.contiguous(memory_format=LAYOUTS[layout])
