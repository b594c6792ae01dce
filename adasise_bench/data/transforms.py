"""From a picture to a network input: TorchRay's preprocessing of its VOC networks."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

ResizeMode = Literal["stretch", "short-side"]

MEAN_RGB = (123.68, 116.779, 103.939)


def input_shape(picture_size: tuple[int, int], mode: ResizeMode, size: int) -> tuple[int, int]:
    """Height and width of the network input.

    Args:
        picture_size: width and height of the picture.
        mode: ``stretch`` to a square, or ``short-side`` keeping the aspect ratio (rounded down).
        size: pixels of the square's or the shorter side.
    """
    width, height = picture_size
    if mode == "stretch":
        return size, size
    if width < height:
        return int(size * height / width), size
    return size, int(size * width / height)


def to_input(picture: Image.Image, mode: ResizeMode, size: int) -> torch.Tensor:
    """Network input: RGB in 0..255, bilinear resize without antialiasing, minus the Caffe mean.

    Returns:
        (1, 3, H, W) float32.
    """
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float()
    resized = F.interpolate(
        pixels, input_shape(picture.size, mode, size), mode="bilinear", align_corners=False
    )
    return resized - torch.tensor(MEAN_RGB).view(1, 3, 1, 1)
