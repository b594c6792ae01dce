"""PASCAL VOC through torchvision: the list of pictures, their annotations, their pixels."""

from __future__ import annotations

import io
import math
import re
import tarfile
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.client import HTTPException
from itertools import takewhile
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import URLError
from xml.etree.ElementTree import ParseError

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import parse as parse_xml

from adasise_bench.data.boxes import Box, turned
from adasise_bench.data.dataset import Annotation, Dataset, file_digest
from adasise_bench.data.known_files import KnownFiles
from adasise_bench.data.names import ByName, Names
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.files import regular

VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

DEFAULT_ROOT = Path("data")

_YEARS = [str(year) for year in range(2007, 2013)]
_IMAGE_SETS = ["train", "trainval", "val", "test"]
"""Torchvision's image sets; only VOC 2007 has the last one."""

_MAX_XML_BYTES = 1_000_000
_SUFFIX = ".jpg"
_FLAGGED = re.compile(r"(?P<name>.*\S)\s+(?P<flag>-1|0|1)")
"""A line of VOC's list of one class. 1: the picture shows it; 0: only as difficult objects; -1: not."""


@dataclass(frozen=True)
class VocDataset(Dataset):
    """A list of pictures in VOC layout.

    Attributes:
        annotations: annotation files by image id.
    """

    annotations: Mapping[str, Path]

    def annotation(self, image_id: str) -> Annotation:
        """Read one annotation: :func:`read_annotation`."""
        return read_annotation(self.annotations[image_id], self.classes)

    def annotation_digest(self, image_id: str) -> bytes:
        """SHA-256 of one annotation file; a missing file has a fixed value."""
        return file_digest(self.annotations[image_id])

    def _picture_files(self) -> tuple[Iterable[str], Path | None]:
        """Without a ``Path`` for each of a million pictures."""
        if not isinstance(self.images, ByName) or not self.images:
            return super()._picture_files()
        folder = self.images[self.image_ids[0]].parent
        return (f"{image_id}{_SUFFIX}" for image_id in self.image_ids), folder


def open_voc(
    root: Path,
    year: str,
    image_set: str,
    download: bool = False,
    *,
    verify: bool = False,
    look_for_empty: bool = True,
) -> VocDataset:
    """List a PASCAL VOC set. VOC 2007 is downloaded first, if this is asked for and the set is not there.

    Args:
        root: folder that holds (or will hold) ``VOCdevkit``.
        year: ``2007`` to ``2012``.
        image_set: such as ``test`` or ``trainval``.
        download: download the archive unless the list is there; torchvision checks its MD5.
        verify: read every file again, even if it is known from an earlier start.
        look_for_empty: leave out the pictures without an object. For this, each annotation is looked at.

    Raises:
        ConfigError: there is no such year or image set.
        DataError: there is no usable data set at ``root``.
    """
    ids, base, notes = _listed(root, year, image_set, download)
    images, annotations = base / "JPEGImages", base / "Annotations"
    listed = Names(ids)
    known, shown = None, listed
    if look_for_empty:
        files = (f"{name}.xml" for name in listed)
        known = KnownFiles(("voc", images, image_set), listed, files, verify, folder=annotations)
        empty = known.without_objects(lambda row: _without_objects(annotations / f"{listed[row]}.xml"))
        if empty.all():
            raise DataError(f"{root}: no picture of VOC {year} {image_set} has an object")
        if empty.any():
            shown = Names(name for name, left_out in zip(listed, empty, strict=True) if not left_out)
    return VocDataset(
        f"VOC {year} {image_set}",
        VOC_CLASSES,
        ByName(shown, lambda image_id, _: images / f"{image_id}{_SUFFIX}"),
        ByName(shown, lambda image_id, _: annotations / f"{image_id}.xml"),
        left_out=len(listed) - len(shown),
        notes=notes,
        known=known,
    )


def has_list(root: Path, year: str, image_set: str) -> bool:
    """Whether there is a list of the set's pictures, and so presumably the set."""
    return (root / "VOCdevkit" / f"VOC{year}" / "ImageSets" / "Main" / f"{image_set}.txt").exists()


def refuse_absent_folder(root: Path, year: str) -> None:
    """Refuse to download into a folder that is not there, unless it is the default one.

    Raises:
        DataError: says what to do.
    """
    if not root.exists() and root.absolute() != DEFAULT_ROOT.absolute():
        raise DataError(f"{root}: no such folder; make it if VOC {year} shall be downloaded into it")


def _listed(
    root: Path, year: str, image_set: str, download: bool = False
) -> tuple[list[str], Path, tuple[str, ...]]:
    """The image ids of the list, the folder of its year, and notes about how the list was read."""
    from torchvision.datasets import VOCDetection
    from torchvision.datasets.utils import verify_str_arg
    from torchvision.datasets.voc import DATASET_YEAR_DICT

    cure = (
        "set data.root to the folder that holds VOCdevkit; `run` with data.download=true, as in "
        "`run --config table1 --limit 1`, fetches VOC into it"
    )
    try:
        verify_str_arg(year, "year", _YEARS)
        verify_str_arg(image_set, "image_set", _IMAGE_SETS if year == "2007" else _IMAGE_SETS[:-1])
        base = root / DATASET_YEAR_DICT[year]["base_dir"]
        listing = base / "ImageSets" / "Main" / f"{image_set}.txt"
        if not listing.exists():
            if download:
                refuse_absent_folder(root, year)
            with _unpacking_inside():
                VOCDetection(str(root), year, image_set, download=download)
        # The list alone: torchvision would join a path for each picture and each annotation.
        names = [line.strip() for line in listing.read_text().split("\n")]
    except UnicodeDecodeError:
        raise DataError(
            f"{root}: the list VOC{year}/ImageSets/Main/{image_set}.txt is not text; fetch it again"
        ) from None
    except ValueError as error:
        raise ConfigError(f"data.year={year}, data.image_set={image_set}: {error}") from None
    except URLError as error:
        raise DataError(
            f"{root}: download of VOC {year} failed ({error.reason}); try again with a connection to the "
            "internet, or set data.root to the folder that holds VOCdevkit"
        ) from None
    except (OSError, RuntimeError, HTTPException, tarfile.TarError, EOFError) as error:
        detail = f" ({error})" if download else ""
        raise DataError(f"{root}: no VOC {year} {image_set} set here{detail}; {cure}") from None
    named = [name for name in names if name]  # a blank line names nothing
    if not named:
        raise DataError(f"{root}: the list VOC{year}/ImageSets/Main/{image_set}.txt is empty")
    together = "".join(named)
    if "/" in together or not together.isprintable():
        wrong = next(name for name in named if "/" in name or not name.isprintable())
        raise DataError(
            f"{root}: the list VOC{year}/ImageSets/Main/{image_set}.txt names {Path(wrong).name!r}, "
            "which is no picture's name; fetch it again"
        )
    ids, notes = _of_class_list(list(dict.fromkeys(named)), base / "JPEGImages")
    return ids, base, notes


def _of_class_list(named: list[str], images: Path) -> tuple[list[str], tuple[str, ...]]:
    """From a list of one class, the pictures that show the class. Any other list stays as it is."""
    flags = list(takewhile(bool, map(_FLAGGED.fullmatch, named)))
    if len(flags) < len(named) or any((images / f"{name}{_SUFFIX}").exists() for name in named):
        return named, ()
    shown = [flag["name"] for flag in flags if flag and flag["flag"] != "-1"]
    note = (
        "the list of pictures has a column of -1, 0 and 1, as VOC's lists of one class have: "
        f"{len(shown)} pictures with 0 or 1 taken, {len(named) - len(shown)} with -1 left out"
    )
    return shown, (note,)


def _without_objects(path: Path) -> bool:
    """Whether a file is a valid annotation without objects."""
    try:
        with regular(path) as file:
            content = file.read(_MAX_XML_BYTES)
        if b"<object" in content:  # nearly all files have one; these need not be parsed here
            return False
        root = parse_xml(io.BytesIO(content), forbid_dtd=True).getroot()
    except (OSError, ParseError, DefusedXmlException, ValueError, LookupError, RecursionError):
        return False
    if root is None or root.tag != "annotation":
        return False
    return root.find("size") is not None and root.find("object") is None


def _unpacking_inside() -> AbstractContextManager[Any]:
    """Prevent archives that torchvision unpacks from writing outside of their folder, by links or ``..``."""
    inside = staticmethod(tarfile.data_filter)
    return patch.object(tarfile.TarFile, "extraction_filter", inside, create=True)


def read_annotation(path: Path, classes: tuple[str, ...]) -> Annotation:
    """Read a VOC annotation file.

    Args:
        path: XML file. Entities and document types are refused.
        classes: the class names that can occur.

    Raises:
        DataError: one line that names the file and says what is wrong with it.
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
        width, height = (_whole(annotation["size"][side]) for side in ("width", "height"))
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
        left, top, right, bottom = box.extent
        if right < 1 or bottom < 1 or left > width - 1 or top > height - 1:
            raise DataError(f"{path}: box {box[1:5]} lies outside the {width}x{height} picture")
    return Annotation((width, height), boxes)


def _whole(text: str) -> int:
    """A whole number, which may be written as 160.0.

    Raises:
        ValueError: it is no whole number.
    """
    return int(text.strip().removesuffix(".0"))


def _box(entry: dict[str, Any]) -> Box:
    difficult = entry.get("difficult") == "1"
    if "robndbox" in entry:
        return _box_of_robndbox(entry["name"], entry["robndbox"], difficult)
    xmin, ymin, xmax, ymax = _finite(entry["bndbox"], ("xmin", "ymin", "xmax", "ymax"))
    box = Box(entry["name"], xmin, ymin, xmax, ymax, difficult)
    if not (xmin <= xmax and ymin <= ymax):
        return box
    return turned(box, _rotation(entry))


def _box_of_robndbox(name: str, entry: dict[str, Any], difficult: bool) -> Box:
    """A turned box as roLabelImg writes it: the centre, the sides, and the angle clockwise in radians."""
    x, y, width, height, angle = _finite(entry, ("cx", "cy", "w", "h", "angle"))
    box = Box(name, x - width / 2 + 1, y - height / 2 + 1, x + width / 2, y + height / 2, difficult)
    return turned(box, math.degrees(angle))


def _rotation(entry: dict[str, Any]) -> float:
    """The rotation clockwise in degrees, which CVAT and Datumaro write among an object's attributes."""
    attributes = entry.get("attributes")
    listed = attributes.get("attribute", []) if isinstance(attributes, dict) else []
    for attribute in listed if isinstance(listed, list) else [listed]:
        if isinstance(attribute, dict) and attribute.get("name") == "rotation":
            return _finite(attribute, ("value",))[0]
    return 0.0


def _finite(entry: dict[str, Any], keys: tuple[str, ...]) -> list[float]:
    numbers = [float(entry[key]) for key in keys]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"box of {numbers}")
    return numbers
