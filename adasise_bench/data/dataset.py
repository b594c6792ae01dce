"""A data set: annotated pictures, independent of the layout of its files."""

from __future__ import annotations

import hashlib
import platform
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.data.boxes import Box, box_mask, without_minus_one
from adasise_bench.data.known_files import UNUSABLE, KnownFiles
from adasise_bench.data.names import AT_ONCE, ByName, Names, names_of
from adasise_bench.data.pictures import decode, may_be_turned, read_bytes, turned_on_trust
from adasise_bench.data.rules import Corners
from adasise_bench.data.segmentation import Outline, in_frame
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import regular

if TYPE_CHECKING:
    import torch

FULL_SETS = {"VOC 2007 test": (4952, 7632)}
"""Numbers of pictures and of image-class pairs of complete sets. A run on fewer is marked as a part."""


class Annotation(NamedTuple):
    """The objects of a picture.

    Attributes:
        picture_size: width and height in pixels.
        boxes: a box for each object.
        outlines: the pixels of each object, in the order of the boxes; ``None`` if the boxes are the region.
    """

    picture_size: tuple[int, int]
    boxes: tuple[Box, ...]
    outlines: tuple[Outline, ...] | None = None

    @property
    def class_names(self) -> list[str]:
        """Distinct classes, in alphabetical order."""
        return sorted({box.class_name for box in self.boxes})

    def with_corners(self, corners: Corners) -> Annotation:
        """The annotation with boxes that cover the pixels that the rule for their corners says."""
        if corners == "minus-one":
            return self
        return self._replace(boxes=tuple(map(without_minus_one, self.boxes)))

    def inside(self, class_name: str, size: tuple[int, int]) -> torch.Tensor:
        """G: the region of a class.

        Args:
            class_name: a class of the picture.
            size: height and width of the result.

        Returns:
            (H, W) bool. It is never empty: an object counts with its box if its outline has no pixel.
        """
        import torch

        if self.outlines is None:
            boxes = [box for box in self.boxes if box.class_name == class_name]
            return box_mask(boxes, self.picture_size, size)
        region = torch.zeros(size, dtype=torch.bool)
        for box, outline in zip(self.boxes, self.outlines, strict=True):
            if box.class_name == class_name:
                pixels = outline.pixels()
                region |= in_frame(pixels, size) if pixels.any() else box_mask([box], self.picture_size, size)
        return region


@dataclass(frozen=True)
class Dataset(ABC):
    """A list of pictures with their annotations.

    Attributes:
        name: name for people, such as ``VOC 2007 test``.
        classes: the class names that can occur.
        images: picture files by image id, in the order of the list.
        left_out: number of listed pictures without an object; they are not in ``images``.
        notes: lines that tell people what they must know about how the set was read.
        known: what reading the files gave; ``None`` if nothing is remembered.
    """

    name: str
    classes: tuple[str, ...]
    images: Mapping[str, Path]
    left_out: int = field(default=0, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)
    known: KnownFiles | None = field(default=None, kw_only=True, repr=False, compare=False)

    @abstractmethod
    def annotation(self, image_id: str) -> Annotation:
        """Read one annotation.

        Raises:
            DataError: the annotation cannot be read, is malformed, has no objects, or has an impossible class
                or box.
        """

    @abstractmethod
    def annotation_digest(self, image_id: str) -> bytes:
        """SHA-256 of one picture's annotation; a missing file has a fixed value."""

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats that the pictures can have, by Pillow's names."""
        return ("JPEG",)

    @property
    def full_size(self) -> tuple[int, int | None]:
        """Numbers of pictures and, if known, of image-class pairs of the complete set."""
        return FULL_SETS.get(self.name, (len(self.images), None))

    def picture(self, image_id: str, annotation: Annotation, digest: str | None = None) -> Image.Image:
        """Read one picture as RGB, as its annotation describes it.

        Args:
            image_id: the picture.
            annotation: its annotation.
            digest: the value of :meth:`digest` that the file must have now; by default it is not checked.

        Raises:
            DataError: the picture is missing, damaged or too large, has another size than its annotation
                says, or has another digest.
        """
        path = self.images[image_id]
        content = read_bytes(path)
        if digest and digest != self._with_annotation(image_id, hashlib.sha256(content).digest()):
            raise DataError(
                f"{path}: on {platform.node()} not the picture that the run began with; if nobody has "
                "changed it or its annotation meanwhile, run again with --verify"
            )
        return self.decode(image_id, content, annotation)

    def decode(self, image_id: str, content: bytes, annotation: Annotation) -> Image.Image:
        """The :meth:`picture` in a file whose bytes were read already.

        Raises:
            DataError: the picture is damaged or too large, or has another size than its annotation says.
        """
        return decode(content, self.images[image_id], self.formats, annotation.picture_size).image

    def _turned_on_trust(self, image_id: str, content: bytes) -> bool:
        """Whether a picture is turned or mirrored because its EXIF data says so, and nothing confirms it.

        The annotated size then fits the picture as it is stored, too. False if the picture or its annotation
        cannot be read. Annotations of other pictures, which are nearly all, are not read.
        """
        try:
            return may_be_turned(content) and turned_on_trust(
                content, self.formats, self.annotation(image_id).picture_size
            )
        except DataError:
            return False

    @cached_property
    def image_ids(self) -> Names:
        """The image ids in their order."""
        return names_of(self.images)

    def class_names(self, image_ids: Names) -> ClassNames:
        """The classes of some pictures; ``[None]`` where the annotation cannot be used.

        Annotations are read only if it is not known what is in them.
        """
        known = self._known_files
        rows = known.rows_of(image_ids)

        def read(row: int) -> tuple[str, ...]:
            try:
                return tuple(self.annotation(known.names[row]).class_names)
            except DataError:
                return known.combinations[UNUSABLE]

        known.sort_by_classes(rows, self.classes, read)
        known.save()
        return ClassNames(image_ids, known.of(image_ids, known.combination), known.combinations)

    def how_many_on_trust(self, image_ids: Names) -> int:
        """Number of pictures with a usable annotation that only their EXIF data says to turn or to mirror.

        The annotated size of these fits the picture as it is stored, too.
        """
        known = self._known_files
        if not known.looked_at_pictures:
            self._look_at_pictures()
        rows = known.rows_of(image_ids)
        self._read_pictures(rows)
        return int(known.turned_on_trust(rows).sum())

    def digests(self) -> Mapping[str, str]:
        """:meth:`digest` of every picture, by image id; files that are known to be the same are not read."""
        self._read_pictures(self._look_at_pictures())
        known = self._known_files
        return Digests(self.image_ids, known.of(self.image_ids, known.digests))

    def _read_pictures(self, rows: NDArray[np.uint32]) -> None:
        """Read the pictures that are not known."""
        known = self._known_files
        known.read_pictures(rows, lambda row: self._read_picture(known.names[row]))
        known.save()

    def _read_picture(self, image_id: str) -> tuple[bytes, bool]:
        """The :meth:`digest` of a picture and whether it is turned on trust, from one reading of its file."""
        try:
            content = read_bytes(self.images[image_id])
        except DataError:
            return bytes.fromhex(self.digest(image_id)), False
        digest = self._with_annotation(image_id, hashlib.sha256(content).digest())
        return bytes.fromhex(digest), self._turned_on_trust(image_id, content)

    def _look_at_pictures(self) -> NDArray[np.uint32]:
        """Forget what is known of pictures whose files have changed; gives the rows of all pictures."""
        rows = self._known_files.rows_of(self.image_ids)
        self._known_files.look_at_pictures(rows, *self._picture_files())
        return rows

    def _picture_files(self) -> tuple[Iterable[str], Path | None]:
        """The pictures' files, and the folder in which relative paths start."""
        return map(str, self.images.values()), None

    @cached_property
    def _known_files(self) -> KnownFiles:
        if self.known is not None:
            return self.known
        return KnownFiles(None, self.image_ids, map(str, self.images.values()))

    def digest(self, image_id: str) -> str:
        """SHA-256 of one picture together with its annotation; a missing file has a fixed value."""
        return self._with_annotation(image_id, file_digest(self.images[image_id]))

    def _with_annotation(self, image_id: str, content_digest: bytes) -> str:
        """The :meth:`digest` of a picture whose file has the SHA-256 ``content_digest``."""
        return hashlib.sha256(content_digest + self.annotation_digest(image_id)).hexdigest()


class ClassNames(ByName[Sequence[str | None]]):
    """The classes of pictures, by image id; ``[None]`` where an annotation cannot be used.

    Args:
        image_ids: the pictures.
        numbers: (pictures,) number of each picture's combination of classes.
        combinations: the combinations; :data:`UNUSABLE` is empty.
    """

    def __init__(
        self, image_ids: Names, numbers: NDArray[np.int32], combinations: Sequence[Sequence[str]]
    ) -> None:
        unusable: Sequence[str | None] = [None]
        super().__init__(image_ids, lambda _, index: combinations[numbers[index]] or unusable)
        self._numbers, self._combinations = numbers, combinations

    def counts(self) -> NDArray[np.int64]:
        """(pictures,) how many classes each picture has, without an object for any of them."""
        of_combinations = [max(1, len(names)) for names in self._combinations]
        return np.array(of_combinations, np.int64)[self._numbers]


class Digests(ByName[str]):
    """Digests of pictures as hexadecimal digits, by image id.

    Args:
        image_ids: the pictures.
        digests: (pictures, bytes) uint8.
    """

    def __init__(self, image_ids: Names, digests: NDArray[np.uint8]) -> None:
        super().__init__(image_ids, lambda _, index: digests[index].tobytes().hex())
        self._digests = digests

    def in_order(self) -> Iterator[tuple[str, str]]:
        """The image ids with their digests, of which many are converted at once."""
        names, digits = iter(self.names), 2 * self._digests.shape[1]
        for first in range(0, len(self), AT_ONCE):
            text = self._digests[first : first + AT_ONCE].tobytes().hex()
            for start in range(0, len(text), digits):
                yield next(names), text[start : start + digits]


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, or ``b"missing"``."""
    try:
        with regular(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b"missing"
