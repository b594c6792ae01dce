"""The pictures of a run that has not begun, and how many classes each of them shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from adasise_bench.data.coco import MASKS
from adasise_bench.data.dataset import Annotation
from adasise_bench.data.difficult import listed_images
from adasise_bench.data.loading import coco_paths, known_classes
from adasise_bench.data.selection import chosen_images
from adasise_bench.data.shipped_counts import (
    COCO_VAL,
    VOC_TEST,
    is_coco_val,
    is_voc_test,
    typical_counts,
    voc_test_counts,
)
from adasise_bench.data.voc import has_list, refuse_absent_folder
from adasise_bench.run.config import RunConfig
from adasise_bench.run.plan import Plan, make_plan
from adasise_bench.utils.errors import DataError


@dataclass(frozen=True)
class Pictures:
    """The pictures that a run will explain.

    Attributes:
        data: name of the data set.
        counts: number of classes by image id; 0 for a picture whose annotation cannot be used.
        classes: names of the data's classes, in the order of a network's outputs.
        notes: lines about how the data was read, and about what of it cannot be used.
        here: whether the data is on this machine.
        refusal: why the run cannot begin, though so much is known of its pictures.
        typical: whether ``counts`` are those of average pictures, because those of the chosen are unknown.
    """

    data: str
    counts: dict[str, int]
    classes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    here: bool = True
    refusal: DataError | None = None
    typical: bool = False

    @property
    def downloaded(self) -> bool:
        """Whether the run downloads the pictures first."""
        return not self.here and self.refusal is None

    @property
    def pairs(self) -> int:
        """Number of image-class pairs."""
        return sum(self.counts.values())

    @property
    def by_classes(self) -> Counter[int]:
        """How many pictures show so many classes."""
        return Counter(self.counts.values())


def pictures_of(config: RunConfig, *, verify: bool = False) -> Pictures:
    """The pictures of a run. VOC 2007 test and COCO 2014 val are known without their files.

    Args:
        config: the run.
        verify: as in :func:`.make_plan`.

    Raises:
        ConfigError: no such year or image set.
        DataError: the run would find no usable data set either.
    """
    data = config.data
    here = data.embedded or has_list(data.root, data.year, data.image_set)
    if data.download and is_voc_test(data) and not here:
        refuse_absent_folder(data.root, data.year)
        return _not_here(config)
    try:
        return _here(make_plan(config, download=False, verify=verify))
    except DataError as refusal:
        if not is_coco_val(data) or all(path.exists() for path in coco_paths(data)):
            raise
        return _coco_not_here(config, refusal)


def _not_here(config: RunConfig) -> Pictures:
    known = voc_test_counts()
    counts = {image_id: known[image_id] for image_id in _chosen(config, known)}
    return Pictures(VOC_TEST, counts, known_classes("voc"), here=False)


def _coco_not_here(config: RunConfig, refusal: DataError) -> Pictures:
    """COCO lists its pictures in another order than TorchRay, so that which ones are chosen is unknown."""
    listed = listed_images(COCO_VAL)
    chosen = _chosen(config, listed)
    notes = [
        "the pictures or their annotations are not here, and a run does not download them: unpack "
        "val2014.zip and annotations_trainval2014.zip of https://cocodataset.org/#download into "
        f"{config.data.root}"
    ]
    typical = len(chosen) < len(listed)
    if typical:
        notes.append(
            "which pictures the run chooses is not known without the annotations; the numbers are those of "
            "average pictures"
        )
    return Pictures(
        COCO_VAL + (MASKS if config.data.region == "masks" else ""),
        typical_counts(chosen),
        known_classes("coco"),
        notes,
        here=False,
        refusal=refusal,
        typical=typical,
    )


def _chosen(config: RunConfig, image_ids: Iterable[str]) -> list[str]:
    return chosen_images(image_ids, config.data.sample, config.seed, config.limit, config.shard)


def _here(plan: Plan) -> Pictures:
    unusable = set(plan.unusable)
    counts = {
        image_id: 0 if image_id in unusable else len(plan.class_names(image_id))
        for image_id in plan.annotations
    }
    return Pictures(plan.dataset.name, counts, plan.dataset.classes, _notes(plan))


def _notes(plan: Plan) -> list[str]:
    notes = []
    if plan.dataset.left_out:
        notes.append(f"pictures without objects left out: {plan.dataset.left_out}")
    notes += plan.notes
    if plan.dataset.classes != known_classes(plan.config.data.kind):
        order = ", ".join(f"{number} {name}" for number, name in enumerate(plan.dataset.classes))
        notes.append(f"classes, in the order of a network's outputs: {order}")
    errors = [plan.annotations[image_id] for image_id in plan.unusable]
    return notes + [f"unusable annotation: {error}" for error in errors if not isinstance(error, Annotation)]
