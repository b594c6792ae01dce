"""The pointing game's difficult sets."""

from __future__ import annotations

import pytest

from adasise_bench.data.difficult import is_difficult
from adasise_bench.data.voc import VOC_CLASSES


@pytest.mark.parametrize(
    ("image_id", "class_name", "difficult"),
    [
        ("000001", "dog", True),
        ("000001", "person", False),
        ("000003", "chair", True),
        ("000003", "sofa", True),
        ("000006", "diningtable", True),
        ("999999", "dog", True),  # not in the file
    ],
)
def test_voc(image_id: str, class_name: str, difficult: bool) -> None:
    assert is_difficult("VOC 2007 test", image_id, VOC_CLASSES.index(class_name)) is difficult


def test_coco() -> None:
    name = "COCO_val2014_000000393226"
    flags = [is_difficult("COCO 2014 val", name, index) for index in range(80)]
    assert [index for index, flag in enumerate(flags) if flag] == [0, 2, 7, 9]


@pytest.mark.parametrize("dataset", ["drawn scenes", "VOC 2012 val", "VOC 2007 val"])
def test_other_sets_have_none(dataset: str) -> None:
    assert is_difficult(dataset, "000001", 11) is None
