"""Opens the pictures that a configuration asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adasise_bench.data.coco import COCO_CLASSES, MASKS, open_coco
from adasise_bench.data.config import DataConfig, DataKind
from adasise_bench.data.dataset import Dataset
from adasise_bench.data.difficult import listed_images
from adasise_bench.data.scenes import SCENE_CLASSES, embedded_root
from adasise_bench.data.shipped_counts import VOC_TEST
from adasise_bench.data.voc import VOC_CLASSES, open_voc


def open_dataset(config: DataConfig, *, verify: bool = False, look_for_empty: bool = True) -> Dataset:
    """Open the data set that ``data`` names: drawn scenes, VOC, COCO, or a user's own in these layouts.

    Paths are made absolute, because pictures are read while methods run, and a method may change the working
    directory.

    Args:
        config: which data set.
        verify: read every file again, even if it is known from an earlier start.
        look_for_empty: leave out pictures without an object, for which each annotation is looked at in VOC
            layout. A worker need not do this again: it is told which pictures to explain.

    Raises:
        ConfigError: there is no such year or image set, or the package that decodes masks is missing.
        DataError: there is no usable data set at ``data.root``.
        OutputError: the drawn scenes cannot be stored.
    """
    config = _located(config)
    if config.embedded:
        scenes = open_voc(embedded_root(), "2007", "test", verify=verify, look_for_empty=look_for_empty)
        return replace(scenes, name="drawn scenes", classes=SCENE_CLASSES)
    if config.layout == "coco":
        return _open_coco(config, verify)
    dataset = open_voc(
        config.root.absolute(), config.year, config.image_set, config.download, verify=verify,
        look_for_empty=look_for_empty,
    )  # fmt: skip
    if config.classes is None and not (dataset.name == VOC_TEST and _has_others(dataset)):
        return dataset
    name = f"own set in VOC layout, {config.year} {config.image_set}"
    return replace(dataset, name=name, classes=config.classes or dataset.classes)


def _has_others(dataset: Dataset) -> bool:
    """Whether some of the pictures are none of VOC 2007 test."""
    return not set(listed_images(VOC_TEST)).issuperset(dataset.images)


def _located(config: DataConfig) -> DataConfig:
    """The same with absolute paths, because the user's own code may change the working directory later."""
    if config.embedded:
        return config
    paths = {"root": config.root, "images": config.images, "annotations": config.annotations}
    located = {name: path.absolute() for name, path in paths.items() if path is not None}
    return config.model_copy(update=located)


def _open_coco(config: DataConfig, verify: bool) -> Dataset:
    images, file = (path.absolute() for path in coco_paths(config))
    title = f"COCO {config.year} {config.image_set}"
    dataset = open_coco(title, file, images, config.region, config.classes, verify=verify)
    if config.annotations or dataset.classes != COCO_CLASSES:
        dataset = replace(dataset, name=f"own set in COCO layout, {file.name}")
    return replace(dataset, name=dataset.name + MASKS) if config.region == "masks" else dataset


def coco_paths(config: DataConfig) -> tuple[Path, Path]:
    """The folder of pictures and the file of annotations of a data set in COCO layout."""
    set_name = f"{config.image_set}{config.year}"
    annotations = config.root / "annotations" / f"instances_{set_name}.json"
    return config.images or config.root / set_name, config.annotations or annotations


def usual_classes(config: DataConfig) -> tuple[str, ...]:
    """The class names of the data set that ``data`` names, as they are known without opening it."""
    return config.classes or known_classes(config.kind)


def known_classes(kind: DataKind) -> tuple[str, ...]:
    """The class names of the known networks for one kind of data, in the order of their outputs."""
    return {"scenes": SCENE_CLASSES, "voc": VOC_CLASSES, "coco": COCO_CLASSES}[kind]
