"""Saliency maps drawn over the pictures that they explain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

COLORMAP = "inferno"
"""This colour map is perceptually uniform, and readable in grey and with any colour vision."""

OPACITY = 0.75
"""Opacity of the colour where the map is highest."""

DIMMING = 0.6
"""Brightness of the grey picture below it."""


PERCENTILE = 99
"""Pixels above this percentile of a map get the highest colour, as in SmoothGrad (arXiv 1706.03825)."""

LEAST_SHARE = 0.1
"""Share of a map's range that the colours span at least; else faint noise could get the highest colour."""

COLOURING = (
    f"Colours run from a map's lowest value to its {PERCENTILE}th percentile "
    f"(or {100 * LEAST_SHARE:.0f} % of its range, if that is more)."
)
"""What a reader of a drawn map must know."""


def normalized(saliency: NDArray[np.float32]) -> NDArray[np.float32]:
    """The (H, W) map scaled to [0, 1] for viewing; a constant map becomes zero.

    The percentile stretch of :data:`COLOURING` makes maps visible whose evidence lies on few pixels, as that
    of a gradient does. Scaled by their highest pixel, they would look empty.
    """
    low, high = float(saliency.min()), float(saliency.max())
    if high <= low:
        return np.zeros_like(saliency)
    stretched = float(np.percentile(saliency, PERCENTILE, method="higher"))
    top = max(stretched, low + LEAST_SHARE * (high - low))
    scaled: NDArray[np.float32] = np.clip((saliency - low) / (top - low), 0, 1).astype(np.float32)
    return scaled


def colored(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W) numbers from 0 to 1 as (H, W, 3) uint8 colours of :data:`COLORMAP`, black lowest."""
    import matplotlib as mpl

    rgba = mpl.colormaps[COLORMAP](weights, bytes=True)
    rgb: NDArray[np.uint8] = rgba[..., :3]
    return rgb


def overlay(picture: Image.Image, saliency: NDArray[np.float32]) -> Image.Image:
    """A picture in grey under the colours of its map: the higher the map, the more colour.

    Args:
        picture: any size; it gives the result its size.
        saliency: (H, W) map of any resolution over the whole picture.
    """
    values = Image.fromarray(normalized(saliency)).resize(picture.size, Image.Resampling.BILINEAR)
    weights = np.asarray(values)
    grey = DIMMING * np.asarray(picture.convert("L"), dtype=np.float32)[..., None]
    opacity = OPACITY * weights[..., None]
    blended = grey * (1 - opacity) + colored(weights).astype(np.float32) * opacity
    return Image.fromarray(np.rint(blended).clip(0, 255).astype(np.uint8))
