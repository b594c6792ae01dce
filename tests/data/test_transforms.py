"""The preprocessing equals TorchRay's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from adasise_bench.data.transforms import input_shape, to_input


@pytest.mark.parametrize(("mode", "size"), [("stretch", 96), ("short-side", 96)])
@pytest.mark.parametrize("shape", [(200, 141), (120, 301)])
def test_equals_torchray(mode: str, size: int, shape: tuple[int, int]) -> None:
    from torchray.benchmark.models import get_transform

    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    picture = Image.fromarray(pixels)
    expected = get_transform("voc", (size, size) if mode == "stretch" else size)(picture)[None]
    got = to_input(picture, mode, size)  # type: ignore[arg-type]
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=0)
    assert got.shape[2:] == input_shape(picture.size, mode, size)  # type: ignore[arg-type]


def test_grey_pictures_become_rgb() -> None:
    assert to_input(Image.new("L", (50, 40), 128), "stretch", 32).shape == (1, 3, 32, 32)
