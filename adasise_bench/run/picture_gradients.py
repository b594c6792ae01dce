"""Computes the gradients of one picture's feature maps, for Fig. 1 of Ada-SISE."""

from __future__ import annotations

import torch

from adasise_bench.data import open_dataset
from adasise_bench.data.transforms import refuse_elongated, to_input
from adasise_bench.methods.sise.selectors import normalized, threshold
from adasise_bench.methods.sise.sise import Sise
from adasise_bench.models.batching import torch_failures
from adasise_bench.reporting.figures.basis import caveat
from adasise_bench.reporting.figures.gradients import Gradients
from adasise_bench.reporting.tables import title_of
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.utils.devices import pick_device
from adasise_bench.utils.errors import BenchError, ConfigError, DataError
from adasise_bench.utils.settings import suggest


def of_picture(config: RunConfig, model: str, image_id: str, class_name: str | None) -> Gradients:
    """Differentiate the score of one class of one picture with respect to the feature maps.

    Args:
        config: names the data, the network and the methods whose thresholds are wanted.
        model: one of the configuration's models.
        image_id: a picture of the data set.
        class_name: any class of the network; ``None`` where the picture shows only one.

    Raises:
        ConfigError: no method of the configuration has a selector, or the class is unclear.
        DataError: no such picture, or it cannot be used.
        WeightsError: missing, altered or unfitting weights.
        BenchError: the gradients are not finite.
    """
    methods = [method for method in config.methods if isinstance(method, Sise)]
    if not methods:
        raise ConfigError("methods: none of them selects feature maps; add sise or ada_sise")
    dataset = open_dataset(config.data)
    if image_id not in dataset.images:
        raise DataError(
            f"{config.data.root}: no picture {image_id!r} in {dataset.name}; "
            "`ls pictures --config FILE` lists all"
        )
    annotation = dataset.annotation(image_id)
    if class_name is None and len(annotation.class_names) > 1:
        choices = ", ".join(f"{image_id}:{name}" for name in annotation.class_names)
        raise ConfigError(f"--image {image_id}: shows several classes; choose one of {choices}")
    class_name = class_name or annotation.class_names[0]
    if class_name not in dataset.classes:
        raise ConfigError(
            f"--image {image_id}:{class_name}: no such class{suggest(class_name, dataset.classes)}"
        )
    classifier = network.load(config, model, pick_device(config.device), dataset.classes)
    network.refuse_missing_classes(classifier, dataset)
    picture = dataset.picture(image_id, annotation)
    mode, side = config.data.resize, config.data.input_size
    refuse_elongated(dataset.images[image_id], picture.size, mode, side)
    image = to_input(picture, mode, side, classifier.preprocessing).to(classifier.device)
    with torch_failures():
        blocks = classifier.block_maps(image, [classifier.classes.index(class_name)])
    values = [normalized(block.gradients[0]).cpu() for block in blocks]
    if not all(torch.isfinite(value).all() for value in values):
        raise BenchError(f"{image_id}: the network's gradients are not finite for this picture")
    thresholds = {
        method.label: [threshold(value, method.selector, method.mu) for value in values] for method in methods
    }
    text = (
        f"{title_of(model)}, {dataset.name}, picture {image_id}, class {class_name}. "
        f"{caveat(classifier.weights.published, config.data.embedded)}"
    )
    return Gradients(tuple(value.numpy() for value in values), thresholds, text.rstrip())
