"""PASCAL VOC through torchvision: the list of pictures, their annotations, their pixels."""

from __future__ import annotations

import hashlib
import io
import math
import tarfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch
from urllib.error import URLError
from xml.etree.ElementTree import ParseError

import torch
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse as parse_xml
from PIL import Image, UnidentifiedImageError

from adasise_bench.data.boxes import Box, box_mask
from adasise_bench.data.files import regular
from adasise_bench.errors import ConfigError, DataError

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

DEFAULT_ROOT = Path("data")

FULL_SETS = {("2007", "test"): (4952, 7632)}
"""Pictures and image-class pairs of complete sets, to say when a run rests on a part of one."""

_MAX_PIXELS = 50_000_000
_MAX_XML_BYTES = 1_000_000
_UNNAMED = ".jpg"  # what torchvision makes of a blank line in the list


class Annotation(NamedTuple):
    """What an annotation file says: the picture's width and height, and its objects."""

    picture_size: tuple[int, int]
    boxes: tuple[Box, ...]

    @property
    def class_names(self) -> list[str]:
        """Distinct classes, in alphabetical order (VOC's class order)."""
        return sorted({box.class_name for box in self.boxes})

    def inside(self, class_name: str, size: tuple[int, int]) -> torch.Tensor:
        """G: the class's region, (H, W) bool, in a frame of ``size`` (height, width)."""
        boxes = [box for box in self.boxes if box.class_name == class_name]
        return box_mask(boxes, self.picture_size, size)


@dataclass(frozen=True)
class VocDataset:
    """A list of pictures in VOC layout.

    Attributes:
        name: for people, such as ``VOC 2007 test``.
        classes: the class names that may occur.
        images: picture files by image id, in the list's order.
        annotations: annotation files by image id.
    """

    name: str
    classes: tuple[str, ...]
    images: dict[str, Path]
    annotations: dict[str, Path]

    def annotation(self, image_id: str) -> Annotation:
        """Read one annotation.

        Raises:
            DataError: unreadable, malformed, without objects, or with a class or box that cannot be.
        """
        return read_annotation(self.annotations[image_id], self.classes)

    def picture(self, image_id: str, annotation: Annotation) -> Image.Image:
        """Read one picture as RGB.

        Raises:
            DataError: missing, damaged, too large, or of another size than its annotation says.
        """
        path = self.images[image_id]
        try:
            with regular(path), Image.open(path, formats=("JPEG",)) as file:
                if file.size != annotation.picture_size:
                    raise DataError(
                        f"{path}: picture is {file.size[0]}x{file.size[1]} pixels, its annotation says "
                        f"{annotation.picture_size[0]}x{annotation.picture_size[1]}; fetch the pair again"
                    )
                if file.size[0] * file.size[1] > _MAX_PIXELS:
                    raise DataError(f"{path}: picture of more than {_MAX_PIXELS} pixels refused")
                return file.convert("RGB")
        except DataError:
            raise
        except UnidentifiedImageError:
            raise DataError(f"{path}: cannot read the picture: empty, damaged, or no JPEG") from None
        except Exception as error:  # Pillow's decoders raise whatever a damaged file makes them trip over
            raise DataError(f"{path}: cannot read the picture: {error or type(error).__name__}") from None

    def digests(self) -> dict[str, str]:
        """:meth:`digest` of every picture, by image id."""
        return {image_id: self.digest(image_id) for image_id in self.images}

    def digest(self, image_id: str) -> str:
        """SHA-256 of one picture with its annotation; a missing file counts as missing."""
        total = hashlib.sha256()
        for path in (self.images[image_id], self.annotations[image_id]):
            try:
                with regular(path) as file:
                    total.update(hashlib.file_digest(file, "sha256").digest())
            except OSError:
                total.update(b"missing")
        return total.hexdigest()


def open_voc(root: Path, year: str, image_set: str, download: bool = False) -> VocDataset:
    """List a PASCAL VOC set, fetching VOC 2007 first if asked to and it is not there.

    Args:
        root: folder that holds (or will hold) ``VOCdevkit``.
        year: ``2007`` to ``2012``.
        image_set: such as ``test`` or ``trainval``.
        download: fetch the archive, MD5 verified by torchvision, unless the list is there.

    Raises:
        ConfigError: no such year or image set.
        DataError: nothing usable at ``root``.
    """
    images, annotations = _listed(root, year, image_set, download)
    return VocDataset(f"VOC {year} {image_set}", VOC_CLASSES, images, annotations)


def _listed(
    root: Path, year: str, image_set: str, download: bool = False
) -> tuple[dict[str, Path], dict[str, Path]]:
    from torchvision.datasets import VOCDetection

    cure = (
        "set data.root to the folder that holds VOCdevkit; a run with data.download=true fetches VOC into it"
    )
    try:
        present = (root / "VOCdevkit" / f"VOC{year}" / "ImageSets" / "Main" / f"{image_set}.txt").exists()
        if download and not present and not root.exists() and root != DEFAULT_ROOT:
            raise DataError(f"{root}: no such folder; make it if VOC {year} shall be downloaded into it")
        with _unpacking_inside():
            listing = VOCDetection(str(root), year, image_set, download=download and not present)
    except UnicodeDecodeError:
        raise DataError(
            f"{root}: the list VOC{year}/ImageSets/Main/{image_set}.txt is not text; fetch it again"
        ) from None
    except ValueError as error:
        raise ConfigError(f"data.year={year}, data.image_set={image_set}: {error}") from None
    except URLError as error:
        raise DataError(f"{root}: download of VOC {year} failed ({error.reason}); {cure}") from None
    except (OSError, RuntimeError, HTTPException, tarfile.TarError, EOFError) as error:
        detail = f" ({error})" if download else ""
        raise DataError(f"{root}: no VOC {year} {image_set} set here{detail}; {cure}") from None
    pairs = [(Path(image), Path(xml)) for image, xml in zip(listing.images, listing.annotations, strict=True)]
    named = [(image, xml) for image, xml in pairs if image.name != _UNNAMED]
    if not named:
        raise DataError(f"{root}: the list VOC{year}/ImageSets/Main/{image_set}.txt is empty")
    for image, _ in named:
        if image.parent.name != "JPEGImages" or not image.name.isprintable():
            raise DataError(
                f"{root}: the list VOC{year}/ImageSets/Main/{image_set}.txt names {image.stem!r}, "
                "which is no picture's name; fetch it again"
            )
    return {image.stem: image for image, _ in named}, {image.stem: xml for image, xml in named}


def _unpacking_inside() -> AbstractContextManager[Any]:
    """Keep archives that torchvision unpacks from writing outside of their folder, by links or ``..``."""
    inside = staticmethod(tarfile.data_filter)
    return patch.object(tarfile.TarFile, "extraction_filter", inside, create=True)


def read_annotation(path: Path, classes: tuple[str, ...]) -> Annotation:
    """Read a VOC annotation file.

    Args:
        path: XML file; entities and document types are refused.
        classes: the class names that may occur.

    Raises:
        DataError: one line naming the file and what is wrong with it.
    """
    from torchvision.datasets import VOCDetection

    try:
        with regular(path) as file:
            content = file.read(_MAX_XML_BYTES + 1)
        if len(content) > _MAX_XML_BYTES:
            raise DataError(f"{path}: annotation of more than {_MAX_XML_BYTES} bytes refused")
        root = parse_xml(io.BytesIO(content), forbid_dtd=True).getroot()
    except OSError as error:
        raise DataError(f"{path}: cannot read the annotation: {error.strerror or error}") from None
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError) as error:
        raise DataError(f"{path}: malformed XML: {error}") from None
    try:
        annotation = VOCDetection.parse_voc_xml(root)["annotation"]
        width, height = (int(annotation["size"][side]) for side in ("width", "height"))
        boxes = tuple(_box(entry) for entry in annotation["object"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"{path}: not a VOC annotation ({type(error).__name__}: {error})") from None
    if width < 1 or height < 1:
        raise DataError(f"{path}: picture size {width}x{height} is impossible")
    if not boxes:
        raise DataError(f"{path}: no objects annotated")
    for box in boxes:
        if box.class_name not in classes:
            raise DataError(f"{path}: class {box.class_name!r} is not one of the {len(classes)}")
        if not (box.xmin <= box.xmax and box.ymin <= box.ymax):
            raise DataError(f"{path}: box {box[1:5]} has its corners swapped")
        if box.xmax < 1 or box.ymax < 1 or box.xmin > width or box.ymin > height:
            raise DataError(f"{path}: box {box[1:5]} lies outside the {width}x{height} picture")
    return Annotation((width, height), boxes)


def _box(entry: dict[str, Any]) -> Box:
    xmin, ymin, xmax, ymax = corners = [
        float(entry["bndbox"][side]) for side in ("xmin", "ymin", "xmax", "ymax")
    ]
    if not all(map(math.isfinite, corners)):
        raise ValueError(f"box corners {corners}")
    return Box(entry["name"], xmin, ymin, xmax, ymax, entry.get("difficult") == "1")
