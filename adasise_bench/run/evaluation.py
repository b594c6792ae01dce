"""Computes the metrics of a map whose picture and boxes are at hand, as a run does for every pair."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from adasise_bench.data.boxes import Box
from adasise_bench.data.dataset import Annotation
from adasise_bench.data.transforms import to_input
from adasise_bench.methods import Explanation, Method, Request
from adasise_bench.methods.stored_map import StoredMap
from adasise_bench.metrics.registry import METRICS
from adasise_bench.models.batching import torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.lost_device import named_if_lost
from adasise_bench.records.record import Key, Record
from adasise_bench.run.config import RunConfig
from adasise_bench.run.measure import Truth, measured
from adasise_bench.utils.errors import ConfigError, DataError


def evaluated(
    saliency: NDArray[np.float32],
    picture: Image.Image,
    class_name: str,
    boxes: Sequence[Box],
    classifier: Classifier,
    config: RunConfig,
    method: Method | None = None,
) -> Record:
    """Compute the metrics of a map.

    Args:
        saliency: (H, W) float32, finite.
        picture: 8-bit RGB.
        class_name: the explained class, one of the network's.
        boxes: the objects of the picture; at least one is of the class.
        classifier: the network.
        config: says how the picture becomes an input, by which rules is measured, and which metrics that
            cost further passes are wanted.
        method: what made the map, where it is known.

    Raises:
        ConfigError: a metric explains the picture again, and the method is not known.
        DataError: no box of the class; or a map that is negative or has another size than the input.
        BenchError: a score is not finite.
    """
    if class_name not in {box.class_name for box in boxes}:
        raise DataError(f"no box of {class_name}: localisation is measured against the boxes of the class")
    for name in config.extra_metrics:
        if METRICS[name].explains_again and method is None:
            raise ConfigError(
                f"extra_metrics: {name} explains the picture again, and the method of this map is not known"
            )
    data = config.data
    image = to_input(picture, data.resize, data.input_size, classifier.preprocessing).to(classifier.device)
    values = _fitting(saliency, class_name, image)
    annotation = Annotation(picture.size, tuple(boxes)).with_corners(config.rules.corners)
    inside = annotation.inside(class_name, (image.shape[2], image.shape[3]))
    maker = method or StoredMap(label="map")
    request = Request(maker, image, classifier.classes.index(class_name), inside=inside)
    key = Key(classifier.name, maker.label, "", class_name)
    with named_if_lost(classifier.device), torch_failures():
        scores = classifier.reference_scores(image)[0]
        truth = Truth(annotation, None, lambda: scores, ties=config.rules.ties)
        return measured(classifier, request, key, truth, Explanation(values, 0, 0), {}, config.extra_metrics)


def _fitting(saliency: NDArray[np.float32], class_name: str, image: torch.Tensor) -> torch.Tensor:
    """The map on the input's device.

    Raises:
        DataError: it is negative, or has another size than the input.
    """
    height, width = image.shape[2:]
    if saliency.shape != (height, width):
        raise DataError(
            f"the map of {class_name} has {saliency.shape[1]}x{saliency.shape[0]} pixels, and the network's "
            f"input has {width}x{height}; resize the map to these"
        )
    if (lowest := float(saliency.min())) < 0:
        raise DataError(
            f"the map of {class_name} has negative values, down to {lowest:.3g}; shift it, or set them to 0"
        )
    return torch.from_numpy(saliency).to(image.device)
