"""What is known of the pictures before they are there is what the data says later."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest
from coco_layout import write_coco

from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import load_config
from adasise_bench.run.forecast.pictures import pictures_of
from adasise_bench.utils.errors import DataError


@pytest.fixture(scope="module")
def annotated(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """VOC 2007 test without its pictures."""
    root = tmp_path_factory.mktemp("annotated")
    with tarfile.open(shared / "data/voc2007_test_annotations.tar.xz") as archive:
        archive.extractall(root, filter="data")
    return root


def config(root: Path, *settings: str) -> RunConfig:
    return load_config(Path("table1"), [f"data.root={root}", *settings])


@pytest.mark.parametrize(
    "settings", [[], ["limit=30"], ["data.sample=500"], ["data.sample=100", "seed=3", "shard=2/5"]], ids=str
)
def test_the_same_is_planned_with_and_without_the_data(
    annotated: Path, tmp_path: Path, settings: list[str]
) -> None:
    here, not_here = (pictures_of(config(root, *settings)) for root in (annotated, tmp_path))
    assert (here.here, not_here.here) == (True, False)
    assert list(here.counts.items()) == list(not_here.counts.items())
    assert here.classes == not_here.classes
    assert here.data == not_here.data


def test_it_is_refused_where_the_run_would_be(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no VOC 2007 test set here; set data\.root"):
        pictures_of(config(tmp_path, "data.download=false"))
    with pytest.raises(DataError, match="typo: no such folder; make it"):
        pictures_of(config(tmp_path / "typo"))
    with pytest.raises(DataError, match="no VOC 2012 val set here"):
        pictures_of(config(tmp_path, "data.year=2012", "data.image_set=val"))


def test_unusable_annotations_are_no_pairs(voc_root: Path) -> None:
    annotation = voc_root / "VOCdevkit/VOC2007/Annotations/000002.xml"
    annotation.write_text("<torn")
    found = pictures_of(config(voc_root))
    assert found.counts == {"000001": 2, "000002": 0, "000003": 1}
    assert found.pairs == 3
    assert found.by_classes == {2: 1, 0: 1, 1: 1}
    assert [note.partition(": ")[0] for note in found.notes] == ["unusable annotation"]


def coco(root: Path, *settings: str) -> RunConfig:
    return load_config(Path("coco"), [f"data.root={root}", *settings])


def test_coco_is_known_without_its_files_and_refused_all_the_same(tmp_path: Path) -> None:
    found = pictures_of(coco(tmp_path))
    assert (len(found.counts), found.pairs) == (40137, 116592)
    assert (found.here, found.typical, found.downloaded) == (False, False, False)
    assert len(found.classes) == 80
    assert "val2014: no such folder of pictures" in str(found.refusal)
    part = pictures_of(coco(tmp_path, "limit=1000", "data.region=masks"))
    assert (len(part.counts), part.typical, part.data) == (1000, True, "COCO 2014 val, masks")
    assert part.pairs == pytest.approx(1000 * 116592 / 40137, rel=0.002)


@pytest.mark.parametrize("missing", ["val2014", "annotations/instances_val2014.json"])
def test_half_of_coco_is_not_enough(tmp_path: Path, missing: str) -> None:
    write_coco(tmp_path)
    assert pictures_of(coco(tmp_path)).here
    path = tmp_path / missing
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    found = pictures_of(coco(tmp_path))
    assert not found.here
    assert missing in str(found.refusal)


def test_what_is_there_but_damaged_is_refused_at_once(tmp_path: Path) -> None:
    write_coco(tmp_path)
    (tmp_path / "annotations/instances_val2014.json").write_text("[")
    with pytest.raises(DataError, match="damaged JSON"):
        pictures_of(coco(tmp_path))


def test_other_sets_in_cocos_layout_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="val2017: no such folder of pictures"):
        pictures_of(coco(tmp_path, "data.year=2017"))
