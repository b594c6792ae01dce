"""What a network says of a whole picture, beside the classes that are annotated on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from adasise_bench.data.dataset import Annotation


@dataclass(frozen=True)
class Classification:
    """A picture's scores and classes. Classes are numbers in the order of the data's classes.

    Attributes:
        scores: (C,) float32 on the CPU, Ψ of every class of the data.
        annotated: the classes on the picture, ascending.
        difficult: those of them whose objects are all "difficult" in VOC's sense.
    """

    scores: torch.Tensor
    annotated: list[int]
    difficult: list[int]

    @classmethod
    def of(
        cls, scores: torch.Tensor, outputs: Sequence[str], classes: Sequence[str], annotation: Annotation
    ) -> Classification:
        """Put a network's outputs into the order of the data's classes.

        Args:
            scores: Ψ of every output, on any device.
            outputs: the outputs' classes, among them all of ``classes``.
            classes: the data's.
            annotation: the picture's objects.
        """
        number_of = {name: number for number, name in enumerate(outputs)}
        easy = {box.class_name for box in annotation.boxes if not box.difficult}
        annotated = {classes.index(name): name for name in annotation.class_names}
        return cls(
            scores.cpu()[[number_of[name] for name in classes]],
            sorted(annotated),
            sorted(number for number, name in annotated.items() if name not in easy),
        )

    def columns(self, number: int, *, whole: bool) -> dict[str, Any]:
        """What a record of one class says of it; nothing where a score is not finite.

        Args:
            number: the class.
            whole: whether this is the record that holds the scores of all classes.
        """
        if not self.scores.isfinite().all():
            return {}
        rank = {"rank": 1 + int((self.scores > self.scores[number]).sum())}
        if not whole:
            return rank
        return rank | {
            "class_scores": self.scores.tolist(),
            "classes_annotated": self.annotated,
            "classes_difficult": self.difficult,
        }
