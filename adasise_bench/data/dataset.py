"""A set of annotated pictures, whatever the layout of its files."""

from __future__ import annotations

import hashlib
import platform
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image

from adasise_bench.data.boxes import Box, box_mask
from adasise_bench.data.pictures import decode, read_bytes, turned_on_trust
from adasise_bench.data.segmentation import Outline, in_frame
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import regular

FULL_SETS = {"VOC 2007 test": (4952, 7632)}
"""Pictures and image-class pairs of complete sets, to say when a run rests on a part of one."""


class Annotation(NamedTuple):
    """What is annotated on a picture.

    Attributes:
        picture_size: width and height.
        boxes: the objects.
        outlines: the objects' pixels, one per box, where these and not the boxes are the region.
    """

    picture_size: tuple[int, int]
    boxes: tuple[Box, ...]
    outlines: tuple[Outline, ...] | None = None

    @property
    def class_names(self) -> list[str]:
        """Distinct classes, in alphabetical order."""
        return sorted({box.class_name for box in self.boxes})

    def inside(self, class_name: str, size: tuple[int, int]) -> torch.Tensor:
        """G: the class's region, (H, W) bool, in a frame of ``size`` (height, width).

        Never empty: an object whose outline holds no pixel of the picture counts with its box.
        """
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
        name: for people, such as ``VOC 2007 test``.
        classes: the class names that may occur.
        images: picture files by image id, in the list's order.
        left_out: number of pictures that the set lists without an object; they are not in ``images``.
        notes: what a person must know about how the set was read, one line each.
    """

    name: str
    classes: tuple[str, ...]
    images: dict[str, Path]
    left_out: int = field(default=0, kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @abstractmethod
    def annotation(self, image_id: str) -> Annotation:
        """Read one annotation.

        Raises:
            DataError: unreadable, malformed, without objects, or with a class or box that cannot be.
        """

    @abstractmethod
    def annotation_digest(self, image_id: str) -> bytes:
        """SHA-256 of one picture's annotation; a missing file counts as missing."""

    @property
    def formats(self) -> tuple[str, ...]:
        """Formats that the pictures may have."""
        return ("JPEG",)

    @property
    def full_size(self) -> tuple[int, int | None]:
        """Pictures, and image-class pairs if known, of the complete set."""
        return FULL_SETS.get(self.name, (len(self.images), None))

    def picture(self, image_id: str, annotation: Annotation, digest: str | None = None) -> Image.Image:
        """Read one picture as RGB, as its annotation describes it.

        Args:
            image_id: the picture.
            annotation: what is annotated on it.
            digest: what :meth:`digest` must give for the bytes that are read now; by default anything.

        Raises:
            DataError: missing, damaged, too large, of another size than its annotation says, or another
                picture than ``digest`` is of.
        """
        path = self.images[image_id]
        content = read_bytes(path)
        if digest and digest != self._with_annotation(image_id, hashlib.sha256(content).digest()):
            raise DataError(f"{path}: on {platform.node()} not the picture that the run began with")
        return self.decode(image_id, content, annotation)

    def decode(self, image_id: str, content: bytes, annotation: Annotation) -> Image.Image:
        """:meth:`picture` of a file that was read already.

        Raises:
            DataError: damaged, too large, or of another size than its annotation says.
        """
        return decode(content, self.images[image_id], self.formats, annotation.picture_size).image

    def turned_on_trust(self, image_id: str, annotation: Annotation) -> bool:
        """Whether a picture is turned or mirrored by its EXIF part alone: the annotated size fits either way.

        False for a picture that cannot be read.
        """
        try:
            content = read_bytes(self.images[image_id])
        except DataError:
            return False
        return turned_on_trust(content, self.formats, annotation.picture_size)

    def digests(self) -> dict[str, str]:
        """:meth:`digest` of every picture, by image id."""
        return {image_id: self.digest(image_id) for image_id in self.images}

    def digest(self, image_id: str) -> str:
        """SHA-256 of one picture with its annotation; a missing file counts as missing."""
        return self._with_annotation(image_id, file_digest(self.images[image_id]))

    def _with_annotation(self, image_id: str, content_digest: bytes) -> str:
        """The digest of a picture whose file has the SHA-256 ``content_digest``."""
        return hashlib.sha256(content_digest + self.annotation_digest(image_id)).hexdigest()


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, or that it is missing."""
    try:
        with regular(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b"missing"
