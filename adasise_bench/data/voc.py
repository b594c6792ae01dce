"""PASCAL VOC through torchvision: the list of pictures, their annotations, their pixels."""

from __future__ import annotations

import io
import math
import tarfile
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import URLError
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse as parse_xml

from adasise_bench.data.boxes import Box
from adasise_bench.data.dataset import Annotation, Dataset, file_digest
from adasise_bench.data.files import regular
from adasise_bench.errors import ConfigError, DataError

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

DEFAULT_ROOT = Path("data")

_MAX_XML_BYTES = 1_000_000
_UNNAMED = ".jpg"  # what torchvision makes of a blank line in the list


@dataclass(frozen=True)
class VocDataset(Dataset):
    """A list of pictures in VOC layout.

    Attributes:
        annotations: annotation files by image id.
    """

    annotations: dict[str, Path]

    def annotation(self, image_id: str) -> Annotation:
        """Read one annotation: :func:`read_annotation`."""
        return read_annotation(self.annotations[image_id], self.classes)

    def annotation_digest(self, image_id: str) -> bytes:
        """SHA-256 of one annotation file, or that it is missing."""
        return file_digest(self.annotations[image_id])


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
            raise DataError(
                f"{path}: class {box.class_name!r} is not one of the {len(classes)}; "
                "name those of another set in data.classes"
            )
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
