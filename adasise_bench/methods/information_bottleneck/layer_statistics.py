"""Mean and standard deviation of a layer's channels over a fixed set of pictures."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn
from weakref import WeakKeyDictionary

import torch
from PIL import Image
from torch import nn

from adasise_bench.data.dataset import file_digest
from adasise_bench.data.pictures import read_picture
from adasise_bench.data.scenes import draw_scene
from adasise_bench.data.transforms import to_input
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.devices import to_float64
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.precision import arithmetic

SCENES = "scenes"
"""The name of the drawn scenes, in place of a folder."""

_SCENES_SEED = 200100396
_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"}


@dataclass(frozen=True)
class LayerStatistics:
    """Statistics of each channel of a layer, over all pictures and positions.

    Attributes:
        mean: (C, 1, 1) float32.
        std: (C, 1, 1) float32, at least 0.
        nonzero: (C, 1, 1) float32, the share of values other than 0.
    """

    mean: torch.Tensor
    std: torch.Tensor
    nonzero: torch.Tensor


_Known = tuple[tuple[int, ...], dict[tuple[object, ...], LayerStatistics]]

_KNOWN: WeakKeyDictionary[nn.Module, _Known] = WeakKeyDictionary()
"""For each network the versions of its parameters, and the statistics that were taken with them."""


def layer_statistics(
    classifier: Classifier, layer: str, source: str, pictures: int, side: int
) -> LayerStatistics:
    """Statistics of a layer's output. They are kept for a network as long as its parameters stay the same.

    Args:
        classifier: the network; left as it was found.
        layer: name of a module.
        source: ``scenes`` for drawn ones, or a folder.
        pictures: how many of them are used. Of a folder these are the first by name, or all if it has fewer.
        side: the side in pixels of the squares that pictures are stretched to.

    Raises:
        DataError: no such folder, no pictures in it, or one that cannot be read.
    """
    versions = tuple(parameter._version for parameter in classifier.module.parameters())
    if classifier.module not in _KNOWN or _KNOWN[classifier.module][0] != versions:
        _KNOWN[classifier.module] = versions, {}
    known, key = _KNOWN[classifier.module][1], (layer, source, pictures, side)
    if key not in known:
        inputs = (
            to_input(picture, "stretch", side, classifier.preprocessing)
            for picture in _pictures(source, pictures)
        )
        known[key] = _measured(classifier, layer, inputs)
    return known[key]


def _pictures(source: str, count: int) -> Iterator[Image.Image]:
    if source == SCENES:
        for index in range(count):
            yield Image.fromarray(draw_scene(_SCENES_SEED, index).pixels)
        return
    for path in _files(Path(source), count):
        yield read_picture(path).image


def _files(folder: Path, count: int) -> list[Path]:
    """The first pictures of a folder by name."""
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise DataError(f"{folder}: information_bottleneck.statistics wants a folder with pictures")
    return paths[:count]


def pictures_sha256(folder: str, count: int) -> str:
    """SHA-256 over the first pictures of a folder, 64 hex digits.

    Raises:
        DataError: no such folder, or no pictures in it.
    """
    total = hashlib.sha256()
    for path in _files(Path(folder), count):
        total.update(file_digest(path))
    return total.hexdigest()


def _measured(classifier: Classifier, layer: str, inputs: Iterable[torch.Tensor]) -> LayerStatistics:
    moments = []
    for one in inputs:
        values = to_float64(layer_output(classifier, layer, one.to(classifier.device))[0]).flatten(1)
        moments.append(torch.stack([values, values**2, (values != 0).double()]).mean(dim=2))
    mean, square, nonzero = torch.stack(moments).mean(dim=0)[:, :, None, None]
    deviation = (square - mean**2).clamp(min=0).sqrt()
    return LayerStatistics(*(one.float().to(classifier.device) for one in (mean, deviation, nonzero)))


@torch.no_grad()
def layer_output(classifier: Classifier, layer: str, inputs: torch.Tensor) -> torch.Tensor:
    """The maps of a layer for (N, 3, H, W) inputs, computed in fp32. The layers behind it do not run.

    An output that holds no feature maps is returned as it is.

    Raises:
        ConfigError: the layer does not run in a forward pass.
    """

    reached: list[torch.Tensor] = []

    def stop(_module: nn.Module, _inputs: object, output: torch.Tensor) -> NoReturn:
        layout = classifier.layout_of(output, inputs)
        reached.append(output if layout is None else layout.maps(output))
        raise _ReachedError

    hook = classifier.module.get_submodule(layer).register_forward_hook(stop)
    try:
        with arithmetic("fp32", classifier.device):
            classifier.module(inputs)
    except Exception:  # a user's own network turns errors of its forward pass into errors of another type
        if not reached:
            raise
    finally:
        hook.remove()
    if not reached:
        raise ConfigError(f"{classifier.name}: its layer {layer!r} is not used")
    return reached[0]


class _ReachedError(Exception):
    """Raised to end a forward pass whose rest is not needed."""
