"""How many classes each picture of VOC 2007 test shows, known without the pictures and their annotations."""

from __future__ import annotations

from pathlib import Path

from adasise_bench.data.config import DataConfig
from adasise_bench.data.difficult import listed_images

VOC_TEST = "VOC 2007 test"

VOC_TEST_ARCHIVE_BYTES = 451_020_800
"""Size of the archive that a run downloads, as the server of the PASCAL challenges gives it."""

_FILE = Path(__file__).with_name("voc2007_test_classes.txt")
"""A digit for each picture, in the order of the set's list: how many classes are annotated in it."""


def is_voc_test(config: DataConfig) -> bool:
    """Whether a configuration means the pictures of VOC 2007 test, with the classes of VOC."""
    named = config.layout, config.year, config.image_set
    return named == ("voc", "2007", "test") and not config.embedded and config.classes is None


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
