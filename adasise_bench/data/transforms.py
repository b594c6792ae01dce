"""Makes a network input of a picture: TorchRay's resizing, then the preprocessing of the network."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from adasise_bench.data.rules import Inputs
from adasise_bench.utils.errors import DataError

ResizeMode = Literal["stretch", "short-side"]


@dataclass(frozen=True)
class Preprocessing:
    """Preprocessing of pixels: each channel is scaled to 0..``scale``, minus ``mean``, divided by ``std``.

    An input of 0 is therefore the mean colour, or black where the mean is 0. ``antialias`` says that a
    picture is resized by Pillow's Lanczos filter, which gives whole numbers; otherwise it is resized
    bilinearly, without antialiasing.
    """

    scale: Literal[1, 255]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    antialias: bool = False

    def by_rule(self, inputs: Inputs) -> Preprocessing:
        """This preprocessing, or what the authors' code has in its place: pixels that are only scaled."""
        if inputs == "normalised":
            return self
        return replace(self, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), antialias=True)

    def facts(self) -> dict[str, Any]:
        """The settings, ready for JSON; without ``antialias`` where it is false, as in earlier versions."""
        facts = asdict(self)
        if not self.antialias:
            del facts["antialias"]
        return facts

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Network inputs, (N, 3, H, W) float32, of pixels of the same shape and type: RGB in 0..255."""
        mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return (pixels / (255 / self.scale) - mean) / std


CAFFE = Preprocessing(255, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0))
"""TorchRay's preprocessing for its VOC networks."""

_MAX_ASPECT = 16
_MAX_INPUT_PIXELS = 4 * 1024**2


def input_shape(picture_size: tuple[int, int], mode: ResizeMode, size: int) -> tuple[int, int]:
    """Height and width of the network input.

    Args:
        picture_size: width and height of the picture.
        mode: ``stretch`` to a square, or ``short-side`` keeping the aspect ratio (rounded down).
        size: pixels of the square's side or of the shorter side.

    Example:
        >>> from adasise_bench.data.transforms import input_shape
        >>> input_shape((500, 375), "short-side", 224)  # 224 times 500 / 375 is 298.67
        (224, 298)
    """
    width, height = picture_size
    if mode == "stretch":
        return size, size
    if width < height:
        return int(size * height / width), size
    return size, int(size * width / height)


def refuse_elongated(path: Path, picture_size: tuple[int, int], mode: ResizeMode, size: int) -> None:
    """Refuse a picture whose network input would be extremely long or large.

    Args:
        path: the picture's name in the message.
        picture_size, mode, size: as in :func:`input_shape`.

    Raises:
        DataError: the input would be larger than 16 squares of the shorter side, or than 4 million pixels.
    """
    height, width = input_shape(picture_size, mode, size)
    if height * width > min(_MAX_ASPECT * size**2, _MAX_INPUT_PIXELS):
        raise DataError(
            f"{path}: too elongated for data.resize={mode}: the input would have {width}x{height} pixels; "
            "use data.resize=stretch"
        )


def to_input(
    picture: Image.Image, mode: ResizeMode, size: int, preprocessing: Preprocessing = CAFFE
) -> torch.Tensor:
    """The network input of a picture: RGB in 0..255, resized as the preprocessing says, preprocessed.

    Returns:
        (1, 3, H, W) float32.
    """
    shape = input_shape(picture.size, mode, size)
    picture = picture.convert("RGB")
    if preprocessing.antialias:
        picture = picture.resize(shape[::-1], Image.Resampling.LANCZOS)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    return preprocessing(F.interpolate(pixels, shape, mode="bilinear", align_corners=False))
