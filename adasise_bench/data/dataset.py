"""A set of annotated pictures, whatever the layout of its files."""

from __future__ import annotations

import hashlib
import platform
from abc import ABC, abstractmethod
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, UnidentifiedImageError

from adasise_bench.data.boxes import Box, box_mask
from adasise_bench.data.files import regular
from adasise_bench.data.outlines import Outline, in_frame
from adasise_bench.errors import DataError

FULL_SETS = {"VOC 2007 test": (4952, 7632)}
"""Pictures and image-class pairs of complete sets, to say when a run rests on a part of one."""

MAX_PIXELS = 50_000_000


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
    """

    name: str
    classes: tuple[str, ...]
    images: dict[str, Path]

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

    @property
    def left_out(self) -> int:
        """Pictures that the set lists, but without an object to explain; they are not in ``images``."""
        return 0

    def picture(self, image_id: str, annotation: Annotation, digest: str | None = None) -> Image.Image:
        """Read one picture as RGB.

        Args:
            image_id: the picture.
            annotation: what is annotated on it.
            digest: what :meth:`digest` must give for the bytes that are read now; by default anything.

        Raises:
            DataError: missing, damaged, too large, of another size than its annotation says, or another
                picture than ``digest`` is of.
        """
        path = self.images[image_id]
        try:
            with self._opened(image_id, digest) as content, Image.open(content, formats=self.formats) as file:
                if file.size != annotation.picture_size:
                    raise DataError(
                        f"{path}: picture is {file.size[0]}x{file.size[1]} pixels, its annotation says "
                        f"{annotation.picture_size[0]}x{annotation.picture_size[1]}; fetch the pair again"
                    )
                if file.size[0] * file.size[1] > MAX_PIXELS:
                    raise DataError(f"{path}: picture of more than {MAX_PIXELS} pixels refused")
                return file.convert("RGB")
        except DataError:
            raise
        except UnidentifiedImageError:
            formats = " or ".join(self.formats)
            raise DataError(f"{path}: cannot read the picture: empty, damaged, or no {formats}") from None
        except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
            raise DataError(f"{path}: cannot read the picture: {error or type(error).__name__}") from None

    def digests(self) -> dict[str, str]:
        """:meth:`digest` of every picture, by image id."""
        return {image_id: self.digest(image_id) for image_id in self.images}

    def digest(self, image_id: str) -> str:
        """SHA-256 of one picture with its annotation; a missing file counts as missing."""
        return self._with_annotation(image_id, file_digest(self.images[image_id]))

    def _with_annotation(self, image_id: str, content_digest: bytes) -> str:
        """The digest of a picture whose file has the SHA-256 ``content_digest``."""
        return hashlib.sha256(content_digest + self.annotation_digest(image_id)).hexdigest()

    def _opened(self, image_id: str, digest: str | None) -> BufferedReader:
        """Open a picture's file for reading.

        The bytes are hashed through the same open file that is decoded afterwards, so that a file put in its
        place meanwhile cannot be taken for the one that was hashed.

        Raises:
            DataError: the bytes, or the annotation, are not those that ``digest`` is of.
            OSError: the file cannot be read.
        """
        path = self.images[image_id]
        content = regular(path)
        if digest is None:
            return content
        try:
            found = self._with_annotation(image_id, hashlib.file_digest(content, "sha256").digest())
            content.seek(0)
        except BaseException:
            content.close()
            raise
        if found != digest:
            content.close()
            raise DataError(f"{path}: on {platform.node()} not the picture that the run began with")
        return content


def file_digest(path: Path) -> bytes:
    """SHA-256 of a file, or that it is missing."""
    try:
        with regular(path) as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return b"missing"
