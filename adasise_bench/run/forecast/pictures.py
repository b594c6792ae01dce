"""The pictures of a run that has not begun, and how many classes each of them shows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from adasise_bench.data.dataset import Annotation
from adasise_bench.data.loading import known_classes
from adasise_bench.data.selection import chosen_images
from adasise_bench.data.shipped_counts import VOC_TEST, is_voc_test, voc_test_counts
from adasise_bench.data.voc import has_list, refuse_absent_folder
from adasise_bench.run.config import RunConfig
from adasise_bench.run.plan import Plan, make_plan


@dataclass(frozen=True)
class Pictures:
    """The pictures that a run will explain.

    Attributes:
        data: name of the data set.
        counts: number of classes by image id; 0 for a picture whose annotation cannot be used.
        classes: names of the data's classes, in the order of a network's outputs.
        notes: lines about how the data was read, and about what of it cannot be used.
        here: whether the data is on this machine. If not, the run downloads it.
    """

    data: str
    counts: dict[str, int]
    classes: tuple[str, ...]
    notes: list[str] = field(default_factory=list)
    here: bool = True

    @property
    def pairs(self) -> int:
        """Number of image-class pairs."""
        return sum(self.counts.values())

    @property
    def by_classes(self) -> Counter[int]:
        """How many pictures show so many classes."""
        return Counter(self.counts.values())


def pictures_of(config: RunConfig, *, verify: bool = False) -> Pictures:
    """The pictures of a run. What the run would download first is known without it.

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
    return _here(make_plan(config, download=False, verify=verify))


def _not_here(config: RunConfig) -> Pictures:
    known = voc_test_counts()
    chosen = chosen_images(known, config.data.sample, config.seed, config.limit, config.shard)
    return Pictures(
        VOC_TEST, {image_id: known[image_id] for image_id in chosen}, known_classes("voc"), here=False
    )


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
