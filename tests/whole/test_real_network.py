"""ResNet-50 on real pictures: what saves work changes no value there either."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from adasise_bench.data.transforms import to_input
from adasise_bench.data.voc import open_voc
from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.engine import Engine
from adasise_bench.models.loading import load_classifier
from adasise_bench.records.reading import read_records
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run
from adasise_bench.utils.timing import PhaseClock

SIDE = 64
"""Small inputs: the network is fully convolutional up to its average, and a forward pass 12 times cheaper."""


@pytest.fixture
def checkpoint(shared: Path) -> Path:
    return shared / "weights/resnet50_voc_standin.pth.tar"


def test_scoring_the_union_of_masks_gives_the_same_bytes(
    shared: Path, checkpoint: Path, tmp_path: Path
) -> None:
    base, real = tmp_path / "VOCdevkit/VOC2007", shared / "data/VOCdevkit/VOC2007"
    (base / "ImageSets/Main").mkdir(parents=True)
    (base / "ImageSets/Main/test.txt").write_text("000346\n")  # a bottle and persons
    for name in ("JPEGImages", "Annotations"):
        (base / name).symlink_to(real / name)
    tree: dict[str, Any] = {
        "data": {"root": str(tmp_path), "input_size": SIDE},
        "models": {"resnet50": {"checkpoint": str(checkpoint)}},
        "methods": [{"name": "sise", "mu": 0.7}, {"name": "ada_sise", "selector": "fixed", "mu": 0.8}],
        "engine": {"layout": "channels_last", "batch_size": 8},
        "save_maps": True,
    }
    for name, sharing in (("alone", False), ("together", True)):
        run(validate(tree | {"share_forwards": sharing}, "test"), tmp_path / name)
    alone, together = (
        read_records(tmp_path / name).drop(columns="weights").filter(regex="^(?!seconds)")
        for name in ("alone", "together")
    )
    pd.testing.assert_frame_equal(alone, together, check_exact=True)
    assert sorted(set(alone["class_name"])) == ["bottle", "person"]
    paths = sorted((tmp_path / "alone/maps").rglob("*.npy"))
    assert len(paths) == len(alone)
    for path in paths:
        assert (
            path.read_bytes() == (tmp_path / "together" / path.relative_to(tmp_path / "alone")).read_bytes()
        )


def test_perturbation_side_by_side_equals_alone(shared: Path, checkpoint: Path) -> None:
    classifier = load_classifier(
        "resnet50", checkpoint=checkpoint, sha256=None, blocks="pool-input", resize="stretch",
        score="softmax", precision="fp32", device=torch.device("cpu"),
    ).with_engine(Engine("channels_last", 12))  # fmt: skip
    dataset = open_voc(shared / "data", "2007", "test")
    method = parse_method({"name": "extremal_perturbation", "iterations": 6})
    requests = []
    for image_id in ("000027", "000068"):
        annotation = dataset.annotation(image_id)
        image = to_input(dataset.picture(image_id, annotation), "stretch", SIDE)
        requests.append(Request(method, image, dataset.classes.index(annotation.class_names[0])))
    together = method.explain_together(classifier, requests)
    for request, explanation in zip(requests, together, strict=True):
        alone = method.explain(classifier, request, PhaseClock(classifier.device))
        torch.testing.assert_close(explanation.saliency, alone.saliency, atol=1e-4, rtol=0)
    assert not torch.allclose(together[0].saliency, together[1].saliency, atol=1e-2)
