"""Run folders with drawn pictures and maps, made without explaining anything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from conftest import write_annotation
from PIL import Image

from adasise_bench.data.voc import open_voc
from adasise_bench.records.maps import map_path
from adasise_bench.records.record import SCHEMA, Record
from adasise_bench.run.config_file import validate

METHODS = ("sise", "ada_sise", "extremal_perturbation")
SIZE = (24, 16)
BOXES = [("cat", 1, 1, 10, 16), ("dog", 13, 5, 24, 12)]


def draw_pictures(root: Path, count: int, boxes: list[tuple[str, int, int, int, int]] = BOXES) -> list[str]:
    """A VOC set of small pictures with the same boxes, by default a cat's and a dog's; their ids."""
    base = root / "VOCdevkit" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    ids = [f"{number:06}" for number in range(1, count + 1)]
    for number, image_id in enumerate(ids):
        color = (number % 256, 90, 255 - number % 256)
        Image.new("RGB", SIZE, color).save(base / "JPEGImages" / f"{image_id}.jpg")
        write_annotation(base / "Annotations" / f"{image_id}.xml", SIZE, boxes)
    (base / "ImageSets" / "Main" / "test.txt").write_text("\n".join(ids) + "\n")
    return ids


def some_records(ids: Sequence[str], classes: Sequence[str] = ("cat", "dog")) -> list[Record]:
    """Records of the classes in every picture by every method, with random measures."""
    random = np.random.default_rng(0)
    return [
        _random_record(random, method, image_id, class_name)
        for method in METHODS
        for image_id in ids
        for class_name in classes
    ]


def _random_record(random: np.random.Generator, method: str, image_id: str, class_name: str) -> Record:
    ebpg, bbox, drop, miou, seconds = random.uniform(0, 100, 5).tolist()
    increase = float(random.choice([0, 100]))
    return Record(
        "resnet50",
        method,
        image_id,
        class_name,
        ebpg=ebpg,
        bbox=bbox,
        drop=0.0 if increase else drop,
        increase=increase,
        miou=miou,
        seconds=seconds / 50,
        seconds_scoring=seconds / 50,
        score=int(image_id) / 1e6,
        box_share=40.0,
        degenerate=False,
    )


def write_run(
    folder: Path, root: Path, records: Sequence[Record], with_maps: Sequence[Record] | None = None
) -> Path:
    """A finished run folder.

    Args:
        folder: to be made.
        root: of the pictures.
        records: of the run.
        with_maps: those whose map is saved, by default all; a cat's map is bright on the left, others on the
            right.
    """
    methods = list(dict.fromkeys(record.method for record in records))
    tree = {
        "data": {"root": str(root), "input_size": 32},
        "models": {"resnet50": {}},
        "methods": [{"name": name if name in METHODS else METHODS[0], "label": name} for name in methods],
    }
    dataset = open_voc(root, "2007", "test")
    folder.mkdir()
    config = validate(tree, "test")
    (folder / "config.yaml").write_text(yaml.safe_dump(config.model_dump(mode="json")))
    (folder / "environment.json").write_text(json.dumps(_environment(methods, len(dataset.images))))
    hashes = "".join(f"{digest}  {image_id}\n" for image_id, digest in dataset.digests().items())
    (folder / "pictures.sha256").write_text(hashes)
    rows = [asdict(record) for record in records]
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "records.parquet")
    for record in records if with_maps is None else with_maps:
        if record.error is None:
            _write_map(map_path(folder, record.key), str(record.class_name))
    return folder


def _write_map(path: Path, class_name: str) -> None:
    saliency = np.zeros((32, 32), dtype=np.float32)
    saliency[:, :16] = np.linspace(0, 1, 16)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, saliency if class_name == "cat" else saliency[:, ::-1])


def _environment(methods: Sequence[str], images: int) -> dict[str, object]:
    return {
        "tool": {"version": "0.1.0", "commit": "abc123"},
        "torch": "2.8.0",
        "device": "cpu",
        "device_name": "Some CPU",
        "precision": "fp32",
        "definitions": {"ebpg": "ebpg-box-union-v1"},
        "methods": {method: {} for method in methods},
        "models": {
            "resnet50": {
                "weights_file": "standin.pth.tar",
                "weights_sha256": "ab" * 32,
                "published": False,
                "maps_available": [64, 256, 512, 1024, 2048],
            }
        },
        "data": {
            "name": "VOC 2007 test",
            "images": images,
            "pairs": 2 * images,
            "embedded": False,
            "full_images": 4952,
            "full_pairs": 7632,
        },
    }
