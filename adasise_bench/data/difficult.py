"""The difficult sets of the pointing game, chosen for Excitation Backprop and shipped with TorchRay."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

from adasise_bench.data.coco import MASKS

FLAGS = {
    "VOC 2007 test": "pointing_game_ebp_voc07_difficult.txt",
    "COCO 2014 val": "pointing_game_ebp_coco_difficult.txt",
}
"""TorchRay's file by the name of the data set. Other data sets have no difficult set."""


def is_difficult(dataset: str, image_id: str, class_index: int) -> bool | None:
    """Whether a class of a picture belongs to the difficult set of its data set.

    Args:
        dataset: name of the data set, with boxes or masks as regions.
        image_id: file name of the picture without its suffix.
        class_index: number of the class, in TorchRay's order.

    Returns:
        True for every class of a picture that the file does not list, as in TorchRay; ``None`` where the
        data set has no difficult set.
    """
    name = dataset.removesuffix(MASKS)
    if name not in FLAGS:
        return None
    row = _rows(FLAGS[name]).get(image_id)
    return row is None or row[class_index] == "1"


def listed_images(dataset: str) -> list[str]:
    """The ids of all pictures with an object of a data set of :data:`FLAGS`, in the order of TorchRay's file.

    TorchRay lists them with their flags, so that they are known where the data set is not.
    """
    return list(_rows(FLAGS[dataset]))


@cache
def _rows(name: str) -> dict[str, str]:
    """One digit per class, by image id."""
    # Found without an import: TorchRay's benchmarks import matplotlib, which would take half a second.
    found = find_spec("torchray")
    package = Path(str(found.origin if found else None)).parent
    lines = (package / "benchmark" / name).read_text(encoding="ascii").splitlines()
    return {
        image_id: flags.replace("\t", "") for image_id, _, flags in (line.partition("\t") for line in lines)
    }
