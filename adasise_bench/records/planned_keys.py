"""The keys of all records of a plan, counted and not listed, because a plan may have tens of millions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adasise_bench.data.names import names_of
from adasise_bench.records.record import Key


class PlannedKeys:
    """Keys in the order of the finished file: by model, method, picture, class.

    Args:
        models: names.
        methods: labels.
        image_ids: the pictures in their order.
        class_names: the classes of a picture, ``[None]`` where its annotation cannot be used.
        counts: (pictures,) numbers of their classes; by default they are counted.
    """

    def __init__(
        self,
        models: Sequence[str],
        methods: Sequence[str],
        image_ids: Iterable[str],
        class_names: Callable[[str], Sequence[str | None]],
        counts: NDArray[np.int64] | None = None,
    ) -> None:
        self._models, self._methods, self._class_names = list(models), list(methods), class_names
        self._names = names_of(image_ids)
        if counts is None:
            numbers = (len(class_names(image_id)) for image_id in self._names)
            counts = np.fromiter(numbers, np.int64, len(self._names))
        ends = np.cumsum(counts)
        self.pairs = int(ends[-1]) if len(ends) else 0
        self._first = np.zeros(len(ends) + 1, np.uint32 if self.pairs < 2**32 else np.int64)
        self._first[1:] = ends

    def __len__(self) -> int:
        """How many keys are planned."""
        return len(self._models) * len(self._methods) * self.pairs

    def __iter__(self) -> Iterator[Key]:
        """The keys in their order."""
        for model in self._models:
            for method in self._methods:
                for image_id in self._names:
                    for class_name in self._class_names(image_id):
                        yield Key(model, method, image_id, class_name)

    def of_image(self, model: str, image_id: str) -> list[Key]:
        """The keys of one model and picture."""
        return [
            Key(model, method, image_id, class_name)
            for method in self._methods
            for class_name in self._class_names(image_id)
        ]

    def has_image(self, image_id: str) -> bool:
        """Whether the picture is planned, with any class."""
        return image_id in self._names

    def position(self, key: Key) -> int | None:
        """Where a key stands in the order, from 0; ``None`` for a key that is not planned."""
        index = self._names.find(key.image_id)
        if index is None:
            return None
        try:
            class_number = self._class_names(key.image_id).index(key.class_name)
            block = self._models.index(key.model) * len(self._methods) + self._methods.index(key.method)
        except ValueError:
            return None
        return block * self.pairs + int(self._first[index]) + class_number


NOTHING_PLANNED = PlannedKeys((), (), (), lambda _image_id: ())


@dataclass(frozen=True)
class KeySet:
    """A part of the planned keys.

    Attributes:
        planned: all of them.
        flags: (len(planned),) bool, which of them are in the set.
    """

    planned: PlannedKeys
    flags: NDArray[np.bool_]

    def __contains__(self, key: object) -> bool:
        """Whether a key is planned and in the set."""
        position = self.planned.position(key) if isinstance(key, Key) else None
        return position is not None and bool(self.flags[position])

    def __len__(self) -> int:
        """How many keys are in the set."""
        return int(self.flags.sum())
