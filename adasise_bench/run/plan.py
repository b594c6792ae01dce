"""What a run will explain: pictures and image-class pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from adasise_bench.data.dataset import Annotation, ClassNames, Dataset
from adasise_bench.data.loading import open_dataset
from adasise_bench.data.names import ByName, Names, names_of
from adasise_bench.data.selection import chosen_images
from adasise_bench.records.planned_keys import PlannedKeys
from adasise_bench.run.config import RunConfig
from adasise_bench.utils.errors import DataError


@dataclass(frozen=True)
class Plan:
    """The pictures of a run, in order.

    Attributes:
        annotations: by image id; in place of one that cannot be used, the reason. Those of a whole run are
            read when they are asked for.
        classes: of each picture, if they are known without its annotation.
    """

    config: RunConfig
    dataset: Dataset
    annotations: Mapping[str, Annotation | DataError]
    classes: Mapping[str, Sequence[str | None]] | None = None

    @property
    def pairs(self) -> list[tuple[str, str | None]]:
        """(image id, class name) to explain; the class is ``None`` where the annotation cannot be used."""
        return [
            (image_id, class_name)
            for image_id in self.annotations
            for class_name in self.class_names(image_id)
        ]

    @cached_property
    def unusable(self) -> list[str]:
        """Pictures whose annotation cannot be used."""
        return [image_id for image_id in self.annotations if None in self.class_names(image_id)]

    def class_names(self, image_id: str) -> Sequence[str | None]:
        """Classes of one picture; ``[None]`` where its annotation cannot be used."""
        if self.classes is not None:
            return self.classes[image_id]
        annotation = self.annotations[image_id]
        return annotation.class_names if isinstance(annotation, Annotation) else [None]

    @cached_property
    def turned_on_trust(self) -> int:
        """Number of pictures turned or mirrored by their EXIF orientation, which no annotation confirms."""
        return self.dataset.how_many_on_trust(names_of(self.annotations))

    @property
    def notes(self) -> list[str]:
        """What a reader must know about how the data was read, one line each."""
        notes = list(self.dataset.notes)
        if self.turned_on_trust:
            notes.append(
                "pictures turned or mirrored as their EXIF orientation says, though their annotated size "
                f"fits either way: {self.turned_on_trust}"
            )
        return notes

    @cached_property
    def keys(self) -> PlannedKeys:
        """The keys of all records, in the order of the finished file."""
        labels = [method.label for method in self.config.methods]
        counts = self.classes.counts() if isinstance(self.classes, ClassNames) else None
        return PlannedKeys(list(self.config.models), labels, self.annotations, self.class_names, counts)


def make_plan(config: RunConfig, *, download: bool = True, verify: bool = False) -> Plan:
    """Open the data, and find out the classes of the chosen pictures.

    Args:
        config: the run.
        download: whether missing data may be downloaded, if the configuration asks for it.
        verify: whether to read every file again, even if it is known from an earlier start.

    Raises:
        ConfigError: no such year or image set.
        DataError: nothing usable at ``data.root``.
    """
    data = config.data if download else config.data.model_copy(update={"download": False})
    dataset = open_dataset(data, verify=verify)
    chosen = chosen_images(dataset.images, config.data.sample, config.seed, config.limit, config.shard)
    names = dataset.image_ids if len(chosen) == len(dataset.image_ids) else Names(chosen)

    def annotation(image_id: str, _index: int) -> Annotation | DataError:
        try:
            return dataset.annotation(image_id).with_corners(config.rules.corners)
        except DataError as error:
            return error

    return Plan(config, dataset, ByName(names, annotation), dataset.class_names(names))
