"""The numbers of classes that come with the tool are those of the sets' annotations."""

from __future__ import annotations

import re
import tarfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from adasise_bench.data.config import DataConfig
from adasise_bench.data.dataset import FULL_SETS
from adasise_bench.data.shipped_counts import (
    COCO_VAL_PICTURES,
    VOC_TEST,
    is_coco_val,
    is_voc_test,
    typical_counts,
    voc_test_counts,
)


def test_they_add_up_to_the_complete_set() -> None:
    counts = voc_test_counts()
    assert (len(counts), sum(counts.values())) == FULL_SETS[VOC_TEST]
    assert list(counts) == sorted(counts)
    assert min(counts.values()) == 1


def test_they_are_those_of_the_annotations(shared: Path) -> None:
    counts = {}
    with tarfile.open(shared / "data/voc2007_test_annotations.tar.xz") as archive:
        for member in archive:
            if member.name.endswith(".xml"):
                text = archive.extractfile(member).read().decode()  # type: ignore[union-attr]
                objects = re.findall(r"<object>.*?</object>", text, re.DOTALL)
                names = {re.search(r"<name>(\w+)</name>", one)[1] for one in objects}  # type: ignore[index]
                counts[Path(member.name).stem] = len(names)
    assert voc_test_counts() == counts


@pytest.mark.parametrize(
    "other",
    [{"year": "2012"}, {"image_set": "val"}, {"root": "embedded"}, {"layout": "coco"}, {"classes": ["dog"]}],
)
def test_they_are_of_no_other_set(other: dict[str, object]) -> None:
    assert is_voc_test(DataConfig())
    assert not is_voc_test(DataConfig.model_validate(other))


@pytest.fixture(scope="module")
def flagged() -> list[int]:
    """How many classes of each picture of COCO 2014 val TorchRay's own list calls difficult."""
    package = Path(str(find_spec("torchray").origin)).parent  # type: ignore[union-attr]
    lines = (package / "benchmark/pointing_game_ebp_coco_difficult.txt").read_text().splitlines()
    return [sum(map(int, line.split("\t")[1:])) for line in lines]


def test_cocos_pictures_are_as_many_as_torchray_lists(flagged: list[int]) -> None:
    assert sum(COCO_VAL_PICTURES.values()) == len(flagged) == 40137
    assert sum(classes * pictures for classes, pictures in COCO_VAL_PICTURES.items()) == 116592


def test_no_picture_shows_fewer_classes_than_it_has_difficult_ones(flagged: list[int]) -> None:
    """A difficult class is one of the picture's, so that of any number as many pictures must have it."""
    for least in range(1, 81):
        showing = sum(pictures for classes, pictures in COCO_VAL_PICTURES.items() if classes >= least)
        assert showing >= sum(count >= least for count in flagged), least


def test_average_pictures_show_what_the_set_shows() -> None:
    names = [str(number) for number in range(40137)]
    assert Counter(typical_counts(names).values()) == COCO_VAL_PICTURES
    every = np.repeat(list(COCO_VAL_PICTURES), list(COCO_VAL_PICTURES.values()))
    for chosen in (1, 2, 7, 30, 1000, 40136):
        counts = typical_counts(names[:chosen])
        assert list(counts) == names[:chosen]
        # The middles of as many equal shares, as NumPy finds them; on a step, either side will do.
        middles = (np.arange(chosen) + 0.5) / chosen
        sides = (np.quantile(every, middles, method=method) for method in ("lower", "higher"))
        low, high = (np.asarray(side) for side in sides)
        found = np.asarray(list(counts.values()))
        assert ((low <= found) & (found <= high)).all()
        if chosen >= 1000:
            assert found.mean() == pytest.approx(116592 / 40137, rel=0.002)
    assert typical_counts([]) == {}


@pytest.mark.parametrize(
    "other",
    [
        {"layout": "voc"},
        {"year": "2017"},
        {"image_set": "train"},
        {"annotations": "mine.json"},
        {"classes": ["dog"]},
    ],
)
def test_cocos_are_of_no_other_set(other: dict[str, object]) -> None:
    coco = {"layout": "coco", "region": "masks"}
    assert is_coco_val(DataConfig.model_validate(coco))
    assert not is_coco_val(DataConfig.model_validate({"layout": "coco"} | other))
