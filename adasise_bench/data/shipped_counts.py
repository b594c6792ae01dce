"""How many classes the pictures of VOC 2007 test and COCO 2014 val show, known without their annotations."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adasise_bench.data.config import DataConfig
from adasise_bench.data.difficult import listed_images

VOC_TEST = "VOC 2007 test"
COCO_VAL = "COCO 2014 val"

VOC_TEST_ARCHIVE_BYTES = 451_020_800
"""Size of the archive that a run downloads, as the server of the PASCAL challenges gives it."""

_FILE = Path(__file__).with_name("voc2007_test_classes.txt")
"""A digit for each picture, in the order of the set's list: how many classes are annotated in it."""


COCO_VAL_PICTURES = {
    1: 8398, 2: 12327, 3: 8312, 4: 4734, 5: 2717, 6: 1630, 7: 922, 8: 531, 9: 286, 10: 146, 11: 71, 12: 42,
    13: 14, 14: 5, 15: 2,
}  # fmt: skip
"""How many pictures of COCO 2014 val show so many classes: 40,137 pictures and 116,592 pairs in all.

Counted in ``data/mscoco/test.txt`` of github.com/yu-gi-oh-leilei/TSFormer, commit f275f18. That file lists
the classes of each picture with an object, crowds among them, as pycocotools reads them in
``instances_val2014.json``. Its pictures are exactly those of TorchRay's list, and each of the 93,951 pairs
that TorchRay calls difficult is in it.
"""


def is_voc_test(config: DataConfig) -> bool:
    """Whether a configuration means the pictures of VOC 2007 test, with the classes of VOC."""
    named = config.layout, config.year, config.image_set
    return named == ("voc", "2007", "test") and not config.embedded and config.classes is None


def is_coco_val(config: DataConfig) -> bool:
    """Whether a configuration means the pictures of COCO 2014 val, with COCO's own annotations."""
    named = config.layout, config.year, config.image_set
    return named == ("coco", "2014", "val") and config.annotations is None and config.classes is None


def typical_counts(image_ids: Sequence[str]) -> dict[str, int]:
    """Numbers of classes that as many pictures of COCO 2014 val show on average.

    Which of the pictures shows how many is not known. The numbers are those of pictures that stand at equal
    distances in the whole set sorted by them. For the whole set they are therefore as in
    :data:`COCO_VAL_PICTURES`.

    Args:
        image_ids: some pictures of the set, or all.

    Example:
        >>> from adasise_bench.data.shipped_counts import typical_counts
        >>> typical_counts(["a", "b", "c"])
        {'a': 1, 'b': 2, 'c': 4}
    """
    every = [classes for classes, pictures in COCO_VAL_PICTURES.items() for _ in range(pictures)]
    chosen = len(image_ids)
    places = ((2 * index + 1) * len(every) // (2 * chosen) for index in range(chosen))
    return {image_id: every[place] for image_id, place in zip(image_ids, places, strict=True)}


def voc_test_counts() -> dict[str, int]:
    """Numbers of classes of the 4952 pictures of VOC 2007 test by image id, in the order of the set's list.

    Example:
        >>> from adasise_bench.data.shipped_counts import voc_test_counts
        >>> counts = voc_test_counts()
        >>> len(counts), sum(counts.values()), counts["000001"]  # a dog and a person
        (4952, 7632, 2)
    """
    digits = "".join(_FILE.read_text(encoding="ascii").split())
    return dict(zip(listed_images(VOC_TEST), map(int, digits), strict=True))
