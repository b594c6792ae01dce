"""What a run will do: pictures, image-class pairs, and the work they take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from adasise_bench.data.dataset import Annotation, ClassNames, Dataset
from adasise_bench.data.loading import known_classes, open_dataset
from adasise_bench.data.names import ByName, Names, names_of
from adasise_bench.data.selection import chosen_images
from adasise_bench.metrics.registry import expected_forwards
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.records.planned_keys import PlannedKeys
from adasise_bench.run.config import RunConfig
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.text_tables import text_table


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

    def expected_forwards(self, model: str, method_index: int) -> int | None:
        """Forward passes expected for one model and method, with those of the extra metrics.

        ``None`` if it cannot be known, as for networks and methods of the user's own.
        """
        known = ARCHITECTURES.get(model)
        per_pair = known and self.config.methods[method_index].on_network(model).expected_forwards(known.maps)
        if per_pair is None:
            return None
        per_pair += expected_forwards(self.config.extra_metrics, self.config.data.input_size, per_pair)
        return per_pair * (self.keys.pairs - len(self.unusable))


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


def describe_plan(plan: Plan) -> str:
    """The plan in words: pictures, pairs, and forward passes per model and method."""
    unusable = [plan.annotations[image_id] for image_id in plan.unusable]
    pairs = plan.keys.pairs - len(unusable)
    lines = [f"{plan.dataset.name}: {len(plan.annotations)} pictures, {pairs} image-class pairs"]
    if plan.dataset.left_out:
        lines.append(f"pictures without objects left out: {plan.dataset.left_out}")
    lines += plan.notes
    if plan.dataset.classes != known_classes(plan.config.data.kind):
        order = ", ".join(f"{number} {name}" for number, name in enumerate(plan.dataset.classes))
        lines.append(f"classes, in the order of a network's outputs: {order}")
    lines += [f"unusable annotation: {error}" for error in unusable]
    total, rows = 0, []
    for model in plan.config.models:
        for index, method in enumerate(plan.config.methods):
            forwards = plan.expected_forwards(model, index)
            total += forwards or 0
            rows.append((model, method.label, pairs, "unknown" if forwards is None else f"{forwards:,}"))
    lines.append(text_table("llrr", rows, ("model", "method", "explanations", "about forwards")))
    lines.append(
        f"about {total:,} forwards in all (estimated from the feature-map counts of Ada-SISE, Table 2)"
    )
    return "\n".join(lines)
