"""The pointing game against TorchRay's own benchmark, point by point and in the table."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchray.attribution.common import resize_saliency
from torchray.benchmark.datasets import voc_as_mask
from torchray.benchmark.pointing_game import PointingGame, PointingGameBenchmark
from torchvision.datasets import VOCDetection

from adasise_bench import metrics
from adasise_bench.data.boxes import Box
from adasise_bench.data.difficult import is_difficult
from adasise_bench.data.voc import VOC_CLASSES, Annotation, open_voc
from adasise_bench.metrics import localisation
from adasise_bench.metrics.localisation import pointing, region_of
from adasise_bench.reporting.statistics import estimate_means

pytestmark = pytest.mark.filterwarnings("ignore:torch.meshgrid")

HITS = {None: 0, 100.0: 1, 0.0: -1}
"""What TorchRay calls our values."""


class Pair(NamedTuple):
    image_id: str
    class_id: int
    label: dict[str, Any]
    annotation: Annotation


def pairs(root: Path) -> Iterator[Pair]:
    """The pairs of the real pictures, their annotations as torchvision reads them and as we do."""
    dataset = open_voc(root, "2007", "test")
    for image_id, path in dataset.annotations.items():
        label = VOCDetection.parse_voc_xml(ElementTree.parse(path).getroot())
        annotation = dataset.annotation(image_id)
        for name in annotation.class_names:
            yield Pair(image_id, VOC_CLASSES.index(name), label, annotation)


def pointed(size: tuple[int, int], point: tuple[int, int]) -> torch.Tensor:
    """A map in a picture's frame whose highest pixel is (x, y)."""
    saliency = torch.zeros(size[1], size[0])
    saliency[point[1], point[0]] = 1
    return saliency


def nearby(annotation: Annotation, rng: random.Random) -> tuple[int, int]:
    """A point of the picture at about the tolerance's distance from the edge of some object."""
    box, (width, height) = rng.choice(annotation.boxes), annotation.picture_size
    x = rng.choice([box.xmin, box.xmax, rng.uniform(box.xmin, box.xmax)]) + rng.uniform(-18, 18)
    y = rng.choice([box.ymin, box.ymax, rng.uniform(box.ymin, box.ymax)]) + rng.uniform(-18, 18)
    return min(max(int(x), 0), width - 1), min(max(int(y), 0), height - 1)


def test_equals_torchray_on_every_real_pair(shared: Path) -> None:
    root = shared / "data"
    torchrays_set = VOCDetection(str(root), "2007", "test")
    whole = PointingGameBenchmark(torchrays_set)
    difficult = PointingGameBenchmark(torchrays_set, difficult=True)
    rng, seen = random.Random(1), {}
    for image_id, class_id, label, annotation in pairs(root):
        flag = is_difficult("VOC 2007 test", image_id, class_id)
        for _ in range(4):
            point = nearby(annotation, rng)
            hit = pointing(
                pointed(annotation.picture_size, point), region_of(annotation, VOC_CLASSES[class_id])
            )
            torchrays = whole.evaluate(label, class_id, point)
            assert HITS[hit] == torchrays, (image_id, class_id, point)
        whole.aggregate(torchrays, class_id)
        torchrays = difficult.evaluate(label, class_id, point)
        assert HITS[hit if flag else None] == torchrays, (image_id, class_id)
        difficult.aggregate(torchrays, class_id)
        seen[image_id, VOC_CLASSES[class_id]] = {"pointing": hit, "difficult": hit if flag else None}
    values = pd.DataFrame(seen, dtype=float).T.rename_axis(["image_id", "class_name"])
    found = estimate_means(values, "classes")
    assert len(values) == 153
    assert found["pointing"].mean == pytest.approx(100 * float(whole.accuracy))
    # TorchRay counts classes that do not occur as never hit; here they are left out.
    occurring = difficult.hits + difficult.misses > 0
    assert 10 < int(occurring.sum()) < 20
    assert found["difficult"].mean == pytest.approx(100 * float(difficult.class_accuracies[occurring].mean()))
    for name, game in (("pointing", whole), ("difficult", difficult)):
        assert found[name].pairs == int((game.hits + game.misses).sum())
        assert min(game.hits.sum(), game.misses.sum()) > 10


def test_the_point_is_found_in_the_pictures_frame_as_in_torchrays_benchmark(shared: Path) -> None:
    generator, game = torch.Generator().manual_seed(4), PointingGame(20)
    values = []
    for _, class_id, label, annotation in list(pairs(shared / "data"))[::4]:
        coarse = torch.rand(1, 1, 9, 9, generator=generator)
        saliency = torch.nn.functional.interpolate(coarse, (224, 224), mode="bicubic").clamp(min=0)
        resized = resize_saliency(None, saliency, annotation.picture_size, "bilinear")[0, 0]
        point = divmod(int(resized.flatten().argmax()), resized.shape[1])[::-1]
        wanted = game.evaluate(voc_as_mask(label, class_id), point)
        region = annotation.inside(VOC_CLASSES[class_id], resized.shape)
        values.append(metrics.pointing(saliency[0, 0], region))
        assert HITS[values[-1]] == wanted
    assert set(values) == {0.0, 100.0}


@pytest.mark.parametrize(
    ("point", "hit"), [((24, 10), 100), ((25, 10), 0), ((19, 21), 100), ((20, 22), 0), ((0, 9), 100)]
)
def test_closer_than_15_pixels_is_near_enough(point: tuple[int, int], hit: float) -> None:
    region = torch.zeros(60, 80, dtype=torch.bool)
    region[:11, :11] = True  # its corner is (10, 10): (9, 11) is sqrt(202) away, (10, 12) sqrt(244)
    assert metrics.pointing(pointed((80, 60), point), region) == hit


def test_the_first_of_equal_pixels_is_the_point() -> None:
    region = torch.zeros(60, 80, dtype=torch.bool)
    region[59, 79] = True
    saliency = pointed((80, 60), (79, 59))
    assert metrics.pointing(saliency, region) == 100
    saliency[0, 79] = 1
    assert metrics.pointing(saliency, region) == 0
    assert metrics.pointing(torch.zeros(60, 80), region) == 0
    assert metrics.pointing(torch.zeros(60, 80), region.flip(0, 1)) == 100


def test_classes_with_difficult_objects_only_do_not_count() -> None:
    easy, hard = Box("dog", 1, 1, 5, 5), Box("dog", 30, 30, 40, 40, difficult=True)
    saliency = pointed((80, 60), (34, 34))
    assert pointing(saliency, region_of(Annotation((80, 60), (hard, Box("cat", 1, 1, 2, 2))), "dog")) is None
    assert pointing(saliency, region_of(Annotation((80, 60), (hard, easy)), "dog")) == 100


@settings(deadline=None, max_examples=40)
@given(st.permutations(range(60)), st.lists(st.booleans(), min_size=60, max_size=60).filter(any))
def test_without_tolerance_equals_quantus(ranks: list[int], inside: list[bool]) -> None:
    import quantus

    saliency, region = torch.tensor(ranks).view(6, 10) / 60, torch.tensor(inside).view(6, 10)
    quiet = {"abs": False, "normalise": False, "disable_warnings": True}
    hit = quantus.PointingGame(**quiet).evaluate_batch(
        x_batch=saliency.numpy()[None, None] * 0,
        a_batch=saliency.numpy()[None, None],
        s_batch=region.numpy()[None, None],
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(localisation, "TOLERANCE", 1)
        assert metrics.pointing(saliency, region) == 100 * bool(hit[0])
