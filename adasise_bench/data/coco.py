"""COCO and other data sets in its layout: one JSON file of annotations, and a folder of pictures."""

from __future__ import annotations

import hashlib
import json
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Literal, NamedTuple, TypeVar

from adasise_bench.data.boxes import Box, turned
from adasise_bench.data.class_names import refuse_unusable
from adasise_bench.data.dataset import Annotation, Dataset
from adasise_bench.data.known_files import KnownFiles
from adasise_bench.data.names import Names
from adasise_bench.data.pictures import MAX_PIXELS
from adasise_bench.data.segmentation import Outline, require_decoder
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.files import regular
from adasise_bench.utils.settings import suggest

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
"""The 80 classes, in the order of the outputs of TorchRay's networks."""

_OFFICIAL = COCO_CATEGORIES | {
    4: "motorcycle", 5: "airplane", 63: "couch", 64: "potted plant", 67: "dining table", 72: "tv",
}  # fmt: skip
"""The categories as COCO's own files name them."""

MASKS = ", masks"
"""How the name of a data set ends if its regions are masks."""

_LISTED = {"COCO 2014 val": 40504}
"""How many pictures COCO's own files list, including those without objects."""

_MAX_JSON_BYTES = 2_000_000_000
_MAX_PATH_BYTES = 150

_UNSETTLED = ("rotation", "angle", "theta")
"""Keys of an object that tools use with different meanings: the box may be the one before it is turned, or
the upright box around the turned one."""


class _Entry(NamedTuple):
    """An object in the file's ``annotations``, reduced to the values that are needed."""

    id: Any
    image_id: Any
    category_id: Any
    bbox: Any
    segmentation: Any = None
    attributes: Any = None
    unsettled: Any = None

    @property
    def empty(self) -> bool:
        """Whether nothing was drawn: there is no outline, and the box has no width and no height."""
        bbox = self.bbox
        drawn = not isinstance(bbox, list) or len(bbox) != len(_BOX) or any(side != 0 for side in bbox[2:])
        return not drawn and not self.segmentation


class _Listed(NamedTuple):
    """A picture in the file's ``images``, reduced to the values that are needed."""

    id: Any
    file_name: Any = None
    coco_url: Any = None
    width: Any = None
    height: Any = None


class _Category(NamedTuple):
    """A class in the file's ``categories``."""

    id: Any
    name: Any


_Kind = TypeVar("_Kind", _Entry, _Listed, _Category)

_MARKS: dict[type[NamedTuple], tuple[set[str], ...]] = {
    _Entry: ({"image_id", "category_id"},),
    _Listed: ({"id", "file_name"}, {"id", "coco_url"}),
    _Category: ({"id", "name"},),
}
"""The sets of keys that identify the entries of a list. An entry has all keys of one of its sets."""

_BOX = ("x", "y", "width", "height")
_KEYS = {*_Entry._fields, *_Listed._fields, *_Category._fields, *_UNSETTLED}


@dataclass(frozen=True)
class CocoDataset(Dataset):
    """A list of pictures in COCO layout. Pictures without objects are left out.

    Attributes:
        file: the file of annotations, which is read once.
        region: whether the region G is made of the objects' boxes or of their pixels.
        sizes: width and height by image id, as the file has them.
        entries: objects by image id.
        names: class names by category id, in the order of the classes.
    """

    file: Path
    region: Region
    sizes: dict[str, tuple[Any, Any]]
    entries: dict[str, tuple[_Entry, ...]]
    names: dict[Any, str]

    @property
    def formats(self) -> tuple[str, ...]:
        """COCO's own pictures are JPEG; other sets may have PNG as well."""
        return ("JPEG", "PNG")

    @property
    def full_size(self) -> tuple[int, int | None]:
        """Numbers of pictures with objects and of image-class pairs; of a part of COCO, how many it lists."""
        listed = _LISTED.get(self.name.removesuffix(MASKS))
        if listed and listed != len(self.images) + self.left_out:
            return listed, None
        pairs = sum(len({entry.category_id for entry in entries}) for entries in self.entries.values())
        return len(self.images), pairs

    def annotation(self, image_id: str) -> Annotation:
        """Check and return the annotation of one picture. Crowds count as objects, as in TorchRay's masks.

        Raises:
            DataError: a size, box or outline is impossible.
        """
        try:
            width, height = map(_whole, self.sizes[image_id])
            if not (0 < width * height <= MAX_PIXELS and width > 0):
                raise ValueError
        except ValueError:
            size = " x ".join(map(repr, self.sizes[image_id]))
            raise self._refusal(image_id, f"size {size} is impossible") from None
        boxes, outlines = [], []
        for entry in self.entries[image_id]:
            try:
                boxes.append(_turned_box(self.names[entry.category_id], entry, (width, height), self.region))
                if self.region == "masks":
                    outlines.append(Outline.of(entry.segmentation, (width, height)))
            except ValueError as error:
                raise self._refusal(image_id, f"annotation {entry.id!r}: {error}") from None
        return Annotation((width, height), tuple(boxes), tuple(outlines) if outlines else None)

    def annotation_digest(self, image_id: str) -> bytes:
        """SHA-256 of the picture's size and objects, including outlines if these make the region."""
        try:
            return hashlib.sha256(repr(self.annotation(image_id)).encode()).digest()
        except DataError as error:
            return hashlib.sha256(str(error).encode()).digest()

    def _refusal(self, image_id: str, problem: str) -> DataError:
        return DataError(f"{self.file}: picture {image_id}: {problem}; mend the file or fetch it again")


def open_coco(
    name: str,
    file: Path,
    images: Path,
    region: Region = "boxes",
    classes: tuple[str, ...] | None = None,
    *,
    verify: bool = False,
) -> CocoDataset:
    """Read the annotations of a data set in COCO layout.

    COCO's own categories get TorchRay's names and order; six of the names differ. In other sets the
    categories that occur are the classes, in the order of their ids as numbers.

    Args:
        name: name of the data set, for people.
        file: JSON file with ``images``, ``annotations`` and ``categories``.
        images: folder of the pictures. A ``file_name`` may name a picture in a folder below.
        region: ``masks`` keeps the objects' outlines in memory.
        classes: names of categories, in the order of a network's outputs; needed if ids are not numbers.
        verify: read every picture again, even if it is known from an earlier start.

    Raises:
        ConfigError: masks are asked for, and the package that decodes them is missing; or ``classes`` do not
            fit the file.
        DataError: one line that names the file and says what is wrong with it.
    """
    if region == "masks":
        require_decoder()
    if not images.is_dir():
        raise DataError(
            f"{images}: no such folder of pictures; set data.root to the folder that holds it, or "
            "data.images; https://cocodataset.org/#download has COCO's"
        )
    try:
        return _opened(name, file, images, region, classes, verify)
    except ValueError as error:
        raise DataError(f"{file}: {error}; mend the file or fetch it again") from None


def _opened(
    name: str, file: Path, images: Path, region: Region, classes: tuple[str, ...] | None, verify: bool
) -> CocoDataset:
    tree = _read(file, region)
    listed = {entry.id: entry for entry in _entries(tree, "images", _Listed) if _is_id(entry.id)}
    if len(listed) < len(tree["images"]):
        raise ValueError("an image's id is missing or used twice")
    entries = _entries(tree, "annotations", _Entry)
    categories = _categories(_entries(tree, "categories", _Category))
    objects = defaultdict(list)
    for entry in entries:
        if not _is_id(entry.image_id) or entry.image_id not in listed:
            raise ValueError(f"annotation {entry.id!r} is of image {entry.image_id!r}; images has none")
        if not _is_id(entry.category_id) or entry.category_id not in categories:
            raise ValueError(
                f"annotation {entry.id!r} has category {entry.category_id!r}, which is not listed"
            )
        if not entry.empty:
            objects[entry.image_id].append(entry)
    if not objects:
        raise ValueError("no image with an object")
    used = {entry.category_id for entry in entries}
    names = _class_names(categories, used, classes, file)
    shown = {number: entry for number, entry in listed.items() if number in objects}
    paths = {number: _below(images, entry) for number, entry in shown.items()}
    ids = _image_ids({number: _identifying(path, shown[number]) for number, path in paths.items()})
    empty = sum(entry.empty for entry in entries)
    place = "coco", file, images, region, classes
    known = KnownFiles(place, Names(ids[number] for number in shown), repeat(str(file), len(shown)), verify)
    return CocoDataset(
        name,
        classes or tuple(names[number] for number in names if names is COCO_CATEGORIES or number in used),
        {ids[number]: images / path for number, path in paths.items()},
        file,
        region,
        {ids[number]: (entry.width, entry.height) for number, entry in shown.items()},
        {ids[number]: tuple(objects[number]) for number in shown},
        names,
        left_out=len(listed) - len(shown),
        notes=(f"{file}: objects left out whose box has neither width nor height: {empty}",) if empty else (),
        known=known,
    )


def _read(file: Path, region: Region) -> Any:
    """Read the JSON file. Its objects are reduced to the needed values at once, which saves memory."""
    try:
        with regular(file) as stream:
            content = stream.read(_MAX_JSON_BYTES + 1)
    except OSError as error:
        raise DataError(
            f"{file}: cannot read the annotations: {error.strerror or error}; "
            "set data.root to the folder that holds annotations/, or data.annotations to the file; "
            "https://cocodataset.org/#download has COCO's"
        ) from None
    if len(content) > _MAX_JSON_BYTES:
        raise ValueError(f"more than {_MAX_JSON_BYTES} bytes refused")
    try:
        return json.loads(content, object_hook=partial(_reduced, region=region))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"damaged JSON: {error}") from None


def _reduced(entry: dict[str, Any], region: Region) -> Any:
    """The needed values of an entry of any list. Mappings inside of entries stay as they are."""
    if not any(entry.keys() >= keys for kind in _MARKS.values() for keys in kind):
        return entry
    kept = {key: value for key, value in entry.items() if key in _KEYS}
    outline = kept.pop("segmentation", None)
    if region == "masks" and outline is not None:
        kept["segmentation"] = _packed(outline)
    if "image_id" in entry:
        kept["unsettled"] = next((f"{key} {kept[key]!r}" for key in _UNSETTLED if kept.get(key)), None)
    return kept


def _packed(segmentation: Any) -> Any:
    """Polygons as arrays, which need an eighth of the memory of lists. Anything else stays as it is."""
    if isinstance(segmentation, list):
        with suppress(TypeError, OverflowError):
            return [array("d", points) for points in segmentation]
    return segmentation


def _entries(tree: Any, key: str, kind: type[_Kind]) -> list[_Kind]:
    """The entries of one list. They replace the mappings in the list, so that memory is not needed twice."""
    entries = tree.get(key) if isinstance(tree, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"no list of {key}: not in COCO layout")
    for index, entry in enumerate(entries):
        if not isinstance(entry, dict) or not any(entry.keys() >= keys for keys in _MARKS[kind]):
            raise ValueError(f"{key}[{index}] is no entry of {key}: not in COCO layout")
        values = {field: entry[field] for field in kind._fields if field in entry}
        entries[index] = kind(**{"id": None, "bbox": None} | values if kind is _Entry else values)
    return entries


def _is_id(value: Any) -> bool:
    return type(value) in (int, str)


def _whole(number: Any) -> int:
    """A whole number, which may be written as 160.0.

    Raises:
        ValueError: it is no whole number.
    """
    if type(number) is int or (type(number) is float and number.is_integer()):
        return int(number)
    raise ValueError(f"{number!r} is no whole number")


def _categories(listed: Iterable[_Category]) -> dict[Any, Any]:
    """Names by category id."""
    names: dict[Any, Any] = {}
    for category in listed:
        if not _is_id(category.id) or category.id in names:
            raise ValueError(f"category id {category.id!r} is none, or used twice")
        names[category.id] = category.name
    return COCO_CATEGORIES if names == _OFFICIAL else names


def _class_names(
    categories: dict[Any, Any], used: set[Any], classes: tuple[str, ...] | None, file: Path
) -> dict[Any, str]:
    """Class names by category id, in the order of the classes.

    Raises:
        ConfigError: ``classes`` lacks a category that is used, or has a name that is no category; or there
            are no ``classes``, and the ids are no numbers that give an order.
        ValueError: a name is unusable.
    """
    if classes is not None:
        return _ordered_by_names(categories, used, classes, file)
    if categories is COCO_CATEGORIES:
        return categories
    names = {number: name for number, name in categories.items() if number in used}
    refuse_unusable(list(names.values()))
    if len(names) == 1:
        return names
    for number, name in names.items():
        if isinstance(number, str) and not (number.isascii() and number.isdigit()):
            raise ConfigError(
                f"{file}: the id {number!r} of category {name!r} is no number, so that ids do not give "
                "the order of the classes; name them in data.classes, in the order of the network's outputs"
            )
    return dict(sorted(names.items(), key=lambda entry: (int(entry[0]), str(entry[0]))))


def _ordered_by_names(
    categories: dict[Any, Any], used: set[Any], classes: tuple[str, ...], file: Path
) -> dict[Any, str]:
    names = {number: name for number, name in categories.items() if number in used}
    if not all(isinstance(name, str) for name in names.values()) or len(set(names.values())) < len(names):
        refuse_unusable(list(names.values()))
    for name in names.values():
        if name not in classes:
            raise ConfigError(f"data.classes: lacks {name!r}, a category of objects in {file}")
    for name in classes:
        if name not in categories.values():
            nearest = suggest(name, map(str, categories.values()))
            raise ConfigError(f"data.classes: {name!r} is no category in {file}{nearest}")
    return dict(sorted(names.items(), key=lambda entry: classes.index(entry[1])))


def _below(images: Path, entry: _Listed) -> PurePosixPath:
    """The path of a picture below the folder of pictures.

    LVIS has no ``file_name`` but a URL. The last folder in the URL is the picture's folder in COCO.

    Raises:
        ValueError: the path leads out of the folder, or is unusable.
    """
    if entry.file_name is not None or not isinstance(entry.coco_url, str):
        return _path(entry.file_name)
    path = PurePosixPath(*_path(entry.coco_url.partition("://")[2]).parts[-2:])
    return path if (images / path).is_file() else PurePosixPath(path.name)


def _path(file_name: Any) -> PurePosixPath:
    """The path in a ``file_name``, whose separators may be those of any system.

    Raises:
        ValueError: the path leads out of the folder of pictures, or is unusable.
    """
    if not isinstance(file_name, str) or not file_name.isprintable():
        raise ValueError(f"file_name {file_name!r} is no picture's name")
    path = PureWindowsPath(file_name) if "\\" in file_name else PurePosixPath(file_name)
    outside = path.is_absolute() or path.drive or path.root or ".." in path.parts
    if outside or not path.stem or len(file_name.encode()) > _MAX_PATH_BYTES:
        raise ValueError(f"file_name {file_name!r} must lead to a picture in the folder of pictures")
    return PurePosixPath(*path.parts)


def _identifying(path: PurePosixPath, entry: _Listed) -> PurePosixPath:
    """The part of a path that identifies the picture. LVIS's pictures may be in any folder."""
    return path if entry.file_name is not None else PurePosixPath(path.name)


def _image_ids(paths: Mapping[Any, PurePosixPath]) -> dict[Any, str]:
    """Image ids for records: the path of each image without its suffix, and with ``-`` in place of ``/``.

    If two pictures would have the same id, both get their whole path.

    Raises:
        ValueError: two images have the same path.
    """
    ids = {number: "-".join((*path.parts[:-1], path.stem)) for number, path in paths.items()}
    while True:
        times = Counter(ids.values())
        shared = {number for number, name in ids.items() if times[name] > 1}
        if not shared:
            return ids
        if all(ids[number] == str(paths[number]) for number in shared):
            raise ValueError("two images have the same file_name")
        ids |= {number: str(paths[number]) for number in shared}


def _turned_box(name: str, entry: _Entry, picture_size: tuple[int, int], region: Region) -> Box:
    """The box of an object. CVAT and Datumaro write its rotation in ``attributes``: clockwise, in degrees.

    Raises:
        ValueError: the box is impossible.
    """
    if entry.unsettled and region == "boxes":
        raise ValueError(
            f"what {entry.unsettled} does to the box differs from tool to tool; give the box before it is "
            "turned and the degrees clockwise as attributes.rotation, or use outlines and data.region=masks"
        )
    attributes = entry.attributes if isinstance(entry.attributes, dict) else {}
    degrees = attributes.get("rotation") or 0
    if type(degrees) not in (int, float) or not math.isfinite(degrees):
        raise ValueError(f"rotation {degrees!r} is no number of degrees")
    return _box(name, entry.bbox, picture_size, degrees)


def _box(name: str, bbox: Any, picture_size: tuple[int, int], degrees: float = 0) -> Box:
    """A box from x, y, width and height. These are lengths from 0: the box covers x to x + width.

    Raises:
        ValueError: the box is impossible.
    """
    if not isinstance(bbox, Sequence) or isinstance(bbox, str) or len(bbox) != len(_BOX):
        turned_by = "; five numbers, of which one turns the box, are not read" if _five(bbox) else ""
        raise ValueError(f"box {bbox!r} is not {', '.join(_BOX)}{turned_by}")
    if not all(type(value) in (int, float) and abs(value) < 1e9 for value in bbox):
        raise ValueError(f"box {bbox!r} is not {', '.join(_BOX)}")
    x, y, width, height = map(float, bbox)
    if width < 0 or height < 0:
        raise ValueError(f"box {bbox!r} has a negative side")
    box = turned(Box(name, x + 1, y + 1, x + width, y + height), degrees)
    left, top, right, bottom = box.extent
    if right < 0 or bottom < 0 or left >= picture_size[0] or top >= picture_size[1]:
        raise ValueError(f"box {bbox!r} lies outside the {picture_size[0]}x{picture_size[1]} picture")
    return box


def _five(bbox: Any) -> bool:
    return isinstance(bbox, list) and len(bbox) == len(_BOX) + 1
