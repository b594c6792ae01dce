"""A tiny set in COCO's layout: five pictures, polygons, run lengths, crowds, one without objects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.models import resnet50

from adasise_bench.data.coco import COCO_CATEGORIES

FIVE = {1: (60, 40), 2: (40, 60), 3: (50, 30), 4: (30, 30), 5: (20, 20)}
"""Width and height by COCO's id; nothing is annotated on the fifth."""

OFFICIAL = COCO_CATEGORIES | {
    4: "motorcycle", 5: "airplane", 63: "couch", 64: "potted plant", 67: "dining table", 72: "tv",
}  # fmt: skip


def name(image: int) -> str:
    return f"COCO_val2014_{image:012d}"


def runs(size: tuple[int, int], left: int, top: int, width: int, height: int) -> dict[str, Any]:
    """Run lengths of a rectangle, column by column as COCO stores them."""
    across, down = size
    counts, outside = [], left * down + top
    for _ in range(width):
        counts += [outside, height]
        outside = down - height
    counts.append(across * down - sum(counts))
    return {"size": [down, across], "counts": counts}


def annotation(
    image: int, category: int, bbox: list[float], segmentation: Any, **more: Any
) -> dict[str, Any]:
    entry = {"image_id": image, "category_id": category, "bbox": bbox, "segmentation": segmentation}
    return entry | {"iscrowd": 0, "area": bbox[2] * bbox[3]} | more


ANNOTATIONS = [
    annotation(1, 18, [30.5, 10.25, 20, 25.5], [[30.5, 10.25, 50.5, 10.25, 50.5, 35.75, 30.5, 30]]),
    annotation(1, 1, [2, 3, 10, 20], [[2, 3, 12, 3, 7, 23], [3, 20, 12, 20, 12, 23]]),
    annotation(1, 1, [20, 5, 9, 30], runs(FIVE[1], 20, 5, 9, 30), iscrowd=1),
    annotation(2, 72, [5, 5, 30, 50], [[5, 5, 35, 5, 35, 55, 5, 55]]),
    annotation(3, 1, [0, 0, 50, 30], runs(FIVE[3], 0, 0, 50, 30), iscrowd=1),
    annotation(4, 5, [10.2, 10.2, 0.4, 0.4], [[10.2, 10.2, 10.6, 10.2, 10.6, 10.6]]),
    annotation(4, 17, [1, 1, 15, 15], [[1, 1, 16, 1, 16, 16, 1, 16]]),
]


def tree() -> dict[str, Any]:
    """The annotations file of the set."""
    return {
        "info": {"year": 2014},
        "licenses": [{"id": 1, "name": "none", "url": ""}],
        "images": [
            {"id": image, "file_name": f"{name(image)}.jpg", "width": width, "height": height, "license": 1}
            for image, (width, height) in FIVE.items()
        ],
        "annotations": [{"id": 100 + k, **entry} for k, entry in enumerate(ANNOTATIONS)],
        "categories": [
            {"id": number, "name": title, "supercategory": "thing"} for number, title in OFFICIAL.items()
        ],
    }


def write_coco(root: Path) -> Path:
    """Write the set as ``root/val2014`` and ``root/annotations``; returns the annotations file."""
    (root / "val2014").mkdir(parents=True)
    (root / "annotations").mkdir()
    noise = np.random.default_rng(0)
    for image, (width, height) in FIVE.items():
        pixels = noise.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "val2014" / f"{name(image)}.jpg", quality=95)
    file = root / "annotations" / "instances_val2014.json"
    file.write_text(json.dumps(tree()))
    return file


def save_caffe_resnet(path: Path, classes: int) -> Path:
    """Random ResNet-50 weights under the key names of TorchRay's checkpoints."""
    torch.manual_seed(0)
    state = resnet50(num_classes=classes).state_dict() | {"conv1.bias": torch.zeros(64)}
    torch.save({name: value for name, value in state.items() if "num_batches" not in name}, path)
    return path
