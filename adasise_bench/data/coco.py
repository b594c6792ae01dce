"""COCO and other sets in its layout: one JSON file of annotations, a folder of pictures."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from adasise_bench.data.boxes import Box
from adasise_bench.data.dataset import MAX_PIXELS, Annotation, Dataset
from adasise_bench.data.files import regular
from adasise_bench.data.names import refuse_unusable
from adasise_bench.data.outlines import Outline, require_decoder
from adasise_bench.errors import DataError

Region = Literal["boxes", "masks"]

COCO_CATEGORIES = {
    1: "person", 2: "bicycle", 3: "car", 4: "motorbike", 5: "aeroplane", 6: "bus", 7: "train", 8: "truck",
    9: "boat", 10: "traffic light", 11: "fire hydrant", 13: "stop sign", 14: "parking meter", 15: "bench",
    16: "bird", 17: "cat", 18: "dog", 19: "horse", 20: "sheep", 21: "cow", 22: "elephant", 23: "bear",
    24: "zebra", 25: "giraffe", 27: "backpack", 28: "umbrella", 31: "handbag", 32: "tie", 33: "suitcase",
    34: "frisbee", 35: "skis", 36: "snowboard", 37: "sports ball", 38: "kite", 39: "baseball bat",
    40: "baseball glove", 41: "skateboard", 42: "surfboard", 43: "tennis racket", 44: "bottle",
    46: "wine glass", 47: "cup", 48: "fork", 49: "knife", 50: "spoon", 51: "bowl", 52: "banana",
    53: "apple", 54: "sandwich", 55: "orange", 56: "broccoli", 57: "carrot", 58: "hot dog", 59: "pizza",
    60: "donut", 61: "cake", 62: "chair", 63: "sofa", 64: "pottedplant", 65: "bed", 67: "diningtable",
    70: "toilet", 72: "tvmonitor", 73: "laptop", 74: "mouse", 75: "remote", 76: "keyboard",
    77: "cell phone", 78: "microwave", 79: "oven", 80: "toaster", 81: "sink", 82: "refrigerator",
    84: "book", 85: "clock", 86: "vase", 87: "scissors", 88: "teddy bear", 89: "hair drier",
    90: "toothbrush",
}  # fmt: skip
"""TorchRay's class names by COCO's category id."""

COCO_CLASSES = tuple(COCO_CATEGORIES.values())
"""The 80 classes in the order of the outputs of TorchRay's networks."""

_OFFICIAL = COCO_CATEGORIES | {
    4: "motorcycle", 5: "airplane", 63: "couch", 64: "potted plant", 67: "dining table", 72: "tv",
}  # fmt: skip
"""The categories as COCO's own files name them."""

MASKS = ", masks"
"""How the names of sets end whose regions are masks."""

_LISTED = {"COCO 2014 val": 40504}
"""Pictures that COCO's own files list, those without objects included."""

_MAX_JSON_BYTES = 2_000_000_000


class _Entry(NamedTuple):
    """An object of the file's ``annotations``, with what is needed of it."""

    id: Any
    image_id: Any
    category_id: Any
    bbox: Any
    segmentation: Any


class _Listed(NamedTuple):
    """A picture of the file's ``images``, with what is needed of it."""

    id: Any
    file_name: Any
    width: Any
    height: Any


class _Category(NamedTuple):
    """A class of the file's ``categories``."""

    id: Any
    name: Any


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """A list of pictures in COCO layout, those without objects left out.

    Attributes:
        file: the annotations, which were read once.
        region: whether G is an object's box or its pixels.
        sizes: width and height by image id, as the file says.
        entries: objects by image id.
        names: class names by category id.
        without_objects: number of pictures left out.
    """

    file: Path
    region: Region
    sizes: dict[str, tuple[Any, Any]]
    entries: dict[str, tuple[_Entry, ...]]
    names: dict[Any, str]
    without_objects: int

    @property
    def formats(self) -> tuple[str, ...]:
        """COCO's own pictures are JPEG; other sets have PNG as well."""
        return ("JPEG", "PNG")

    @property
    def full_size(self) -> tuple[int, int | None]:
        """Pictures with objects, and image-class pairs; of a part of COCO, the pictures that COCO lists."""
        listed = _LISTED.get(self.name.removesuffix(MASKS))
        if listed and listed != len(self.images) + self.without_objects:
            return listed, None
        pairs = sum(len({entry.category_id for entry in entries}) for entries in self.entries.values())
        return len(self.images), pairs

    @property
    def left_out(self) -> int:
        """Pictures without objects."""
        return self.without_objects

    def annotation(self, image_id: str) -> Annotation:
        """Check what the file says of one picture; crowds count as objects, as in TorchRay's masks.

        Raises:
            DataError: a size, box or outline that cannot be.
        """
        width, height = self.sizes[image_id]
        if not (type(width) is type(height) is int and 0 < width * height <= MAX_PIXELS and width > 0):
            raise self._refusal(image_id, f"size {width!r} x {height!r} is impossible")
        boxes, outlines = [], []
        for entry in self.entries[image_id]:
            try:
                boxes.append(_box(self.names[entry.category_id], entry.bbox, (width, height)))
                if self.region == "masks":
                    outlines.append(Outline.of(entry.segmentation, (width, height)))
            except ValueError as error:
                raise self._refusal(image_id, f"annotation {entry.id!r}: {error}") from None
        return Annotation((width, height), tuple(boxes), tuple(outlines) if outlines else None)

    def annotation_digest(self, image_id: str) -> bytes:
        """SHA-256 of the picture's size and objects, with their outlines where these are the region."""
        try:
            return hashlib.sha256(repr(self.annotation(image_id)).encode()).digest()
        except DataError as error:
            return hashlib.sha256(str(error).encode()).digest()

    def _refusal(self, image_id: str, problem: str) -> DataError:
        return DataError(f"{self.file}: picture {image_id}: {problem}; mend the file or fetch it again")


def open_coco(name: str, file: Path, images: Path, region: Region = "boxes") -> CocoDataset:
    """Read the annotations of a set in COCO layout.

    COCO's own categories get TorchRay's names and order, which differ in six names; others are the
    classes themselves, in the order of their ids, as far as they occur.

    Args:
        name: of the set, for people.
        file: JSON with ``images``, ``annotations`` and ``categories``.
        images: folder of the pictures; a ``file_name`` may name one in a folder below.
        region: ``masks`` keeps the objects' outlines in memory.

    Raises:
        ConfigError: masks are asked for, and there is nothing to decode them with.
        DataError: one line naming the file and what is wrong with it.
    """
    if region == "masks":
        require_decoder()
    if not images.is_dir():
        raise DataError(
            f"{images}: no such folder of pictures; set data.root to the folder that holds it, or data.images"
        )
    try:
        return _opened(name, file, images, region)
    except ValueError as error:
        raise DataError(f"{file}: {error}; mend the file or fetch it again") from None


def _opened(name: str, file: Path, images: Path, region: Region) -> CocoDataset:
    tree = _read(file, region)
    listed: list[_Listed] = _entries(tree, "images", _Listed)
    entries: list[_Entry] = _entries(tree, "annotations", _Entry)
    names = _class_names(_entries(tree, "categories", _Category))
    ids = {entry.id: _image_id(entry.file_name) for entry in listed if _is_id(entry.id)}
    if len(ids) < len(listed):
        raise ValueError("an image's id is missing or used twice")
    if len(set(ids.values())) < len(ids):
        raise ValueError("two images have the same file_name")
    objects = defaultdict(list)
    for entry in entries:
        if not _is_id(entry.image_id) or entry.image_id not in ids:
            raise ValueError(f"annotation {entry.id!r} is of image {entry.image_id!r}; images has none")
        if not _is_id(entry.category_id) or entry.category_id not in names:
            raise ValueError(
                f"annotation {entry.id!r} has category {entry.category_id!r}, which is not listed"
            )
        objects[ids[entry.image_id]].append(entry)
    shown = {ids[entry.id]: entry for entry in listed if ids[entry.id] in objects}
    if not shown:
        raise ValueError("no image with an object")
    used = {entry.category_id for entry in entries}
    return CocoDataset(
        name,
        tuple(names[number] for number in names if names is COCO_CATEGORIES or number in used),
        {image_id: images / entry.file_name for image_id, entry in shown.items()},
        file,
        region,
        {image_id: (entry.width, entry.height) for image_id, entry in shown.items()},
        {image_id: tuple(objects[image_id]) for image_id in shown},
        names,
        len(listed) - len(shown),
    )


def _read(file: Path, region: Region) -> Any:
    """The file's tree, its objects reduced to what is needed while it is read."""
    try:
        with regular(file) as stream:
            content = stream.read(_MAX_JSON_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"{file}: cannot read the annotations: {error.strerror or error}; "
            "set data.root to the folder that holds annotations/, or data.annotations to the file"
        ) from None
    if len(content) > _MAX_JSON_BYTES:
        raise ValueError(f"more than {_MAX_JSON_BYTES} bytes refused")
    try:
        return json.loads(content, object_hook=partial(_reduced, region=region))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"damaged JSON: {error}") from None


def _reduced(entry: dict[str, Any], region: Region) -> Any:
    if "category_id" in entry:
        outline = _packed(entry.get("segmentation")) if region == "masks" else None
        return _Entry(
            entry.get("id"), entry.get("image_id"), entry["category_id"], entry.get("bbox"), outline
        )
    if "file_name" in entry:
        return _Listed(*map(entry.get, _Listed._fields))
    if "name" in entry and "id" in entry and "counts" not in entry:
        return _Category(entry["id"], entry["name"])
    return entry


def _packed(segmentation: Any) -> Any:
    """Polygons in an eighth of the memory that lists of numbers take; anything else as it is."""
    if isinstance(segmentation, list):
        with suppress(TypeError, OverflowError):
            return [array("d", points) for points in segmentation]
    return segmentation


def _entries(tree: Any, key: str, kind: type[Any]) -> list[Any]:
    entries = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"no list of {key}: not in COCO layout")
    for index, entry in enumerate(entries):
        if not isinstance(entry, kind):
            raise ValueError(f"{key}[{index}] is no entry of {key}: not in COCO layout")
    return entries


def _is_id(value: Any) -> bool:
    return type(value) in (int, str)


def _class_names(categories: Iterable[_Category]) -> dict[Any, str]:
    """Class names by category id, in the order of the classes."""
    names: dict[Any, str] = {}
    for category in categories:
        if not _is_id(category.id) or category.id in names:
            raise ValueError(f"category id {category.id!r} is none, or used twice")
        names[category.id] = category.name
    if names == _OFFICIAL:
        return COCO_CATEGORIES
    refuse_unusable(list(names.values()))
    return dict(sorted(names.items(), key=lambda entry: (isinstance(entry[0], str), entry[0])))


def _image_id(file_name: Any) -> str:
    """A name for records and files of results: the path below the folder of pictures, without suffix.

    Raises:
        ValueError: the path leads out of the folder, or is unusable.
    """
    if not isinstance(file_name, str) or not file_name.isprintable() or "\\" in file_name:
        raise ValueError(f"file_name {file_name!r} is no picture's name")
    path = PurePosixPath(file_name)
    if path.is_absolute() or ".." in path.parts or not path.stem or len(file_name.encode()) > 150:
        raise ValueError(f"file_name {file_name!r} must lead to a picture in the folder of pictures")
    return "-".join((*path.parts[:-1], path.stem))


def _box(name: str, bbox: Any, picture_size: tuple[int, int]) -> Box:
    """A box from x, y, width, height, 0-based, which covers x up to x + width as a length, not as pixels.

    Raises:
        ValueError: no such box.
    """
    if not isinstance(bbox, Sequence) or isinstance(bbox, str) or len(bbox) != 4:
        raise ValueError(f"box {bbox!r} is not x, y, width, height")
    if not all(type(value) in (int, float) and abs(value) < 1e9 for value in bbox):
        raise ValueError(f"box {bbox!r} is not x, y, width, height")
    x, y, width, height = map(float, bbox)
    if width < 0 or height < 0:
        raise ValueError(f"box {bbox!r} has a negative side")
    if x + width < 0 or y + height < 0 or x >= picture_size[0] or y >= picture_size[1]:
        raise ValueError(f"box {bbox!r} lies outside the {picture_size[0]}x{picture_size[1]} picture")
    return Box(name, x + 1, y + 1, x + width, y + height)
