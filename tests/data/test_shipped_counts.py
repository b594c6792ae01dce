"""The numbers of classes of VOC 2007 test that come with the tool are those of its annotations."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

import pytest

from adasise_bench.data.config import DataConfig
from adasise_bench.data.dataset import FULL_SETS
from adasise_bench.data.shipped_counts import VOC_TEST, is_voc_test, voc_test_counts


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
