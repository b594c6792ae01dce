"""Fig. 1 of Ada-SISE: how one picture's positive gradients are distributed, and where thresholds fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from adasise_bench.data.loading import open_dataset
from adasise_bench.data.transforms import refuse_elongated, to_input
from adasise_bench.methods.sise.selectors import normalized, threshold
from adasise_bench.methods.sise.sise import Sise
from adasise_bench.models.batching import torch_failures
from adasise_bench.records.environment import pick_device
from adasise_bench.reporting.figures.basis import caveat
from adasise_bench.reporting.figures.style import blank, look, named, named_handles, note, styled
from adasise_bench.reporting.tables import title_of
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.utils.errors import BenchError, ConfigError, DataError
from adasise_bench.utils.settings import suggest

_BINS = 40


@dataclass(frozen=True)
class Gradients:
    """The normalised summed gradients of one picture and class.

    Attributes:
        values: per block from the input side, (K,) float64 v_k, at most 1.
        thresholds: the threshold μ of every block, by the label of the method that sets it.
        note: what was differentiated, for the foot of the figure.
    """

    values: tuple[NDArray[np.float64], ...]
    thresholds: Mapping[str, Sequence[float]]
    note: str


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
        raise ConfigError("methods: none selects feature maps; add sise or ada_sise")
    dataset = open_dataset(config.data)
    if image_id not in dataset.images:
        raise DataError(f"{config.data.root}: no picture {image_id!r} in {dataset.name}")
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


@styled
def draw(gradients: Gradients) -> Figure:
    """A histogram of the positive v_k per block, with every method's threshold μ and the maps it keeps."""
    blocks, methods = len(gradients.values), len(gradients.thresholds)
    figure = blank(0.35 + blocks * max(0.75, 0.1 + 0.155 * methods))
    panels = figure.subplots(blocks, 1, sharex=True, squeeze=False)[:, 0]
    for number, (axes, values) in enumerate(zip(panels, gradients.values, strict=True)):
        positive = int((values > 0).sum())
        axes.set_title(f"block {number + 1}: v > 0 for {positive} of {len(values)} maps", loc="left")
        _panel(axes, values, [mus[number] for mus in gradients.thresholds.values()])
    panels[-1].set_xlabel("normalised gradient v")
    figure.supylabel("number of maps", fontsize="medium")
    named_handles(figure, panels[0].lines, [named(label) for label in gradients.thresholds])
    note(figure, f"v: a map's summed gradient / the largest of its block; v > μ is kept. {gradients.note}")
    return figure


def _panel(axes: Axes, values: NDArray[np.float64], thresholds: Sequence[float]) -> None:
    axes.hist(values[values > 0], bins=_BINS, range=(0, 1), color="0.75", edgecolor="0.45", linewidth=0.3)
    for position, mu in enumerate(thresholds):
        style = look(position)
        kept = int((values > mu).sum())
        axes.axvline(mu, color=style.color, linestyle=style.dashes, label=f"μ = {mu:.3g}: {kept} maps")
    axes.set_xlim(-0.02, 1.02)
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
