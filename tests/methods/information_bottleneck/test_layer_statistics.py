"""Statistics of a layer against NumPy's on the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from adasise_bench.data.transforms import to_input
from adasise_bench.methods.custom.custom import custom_definitions
from adasise_bench.methods.information_bottleneck.layer_statistics import layer_output, layer_statistics
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.errors import DataError

LAYER = "features.4"


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    noise = np.random.default_rng(0)
    for number, (height, width) in enumerate([(30, 50), (64, 20), (25, 25)]):
        pixels = noise.integers(0, 255, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize("count", [2, 3, 9])
def test_equal_numpys_over_pictures_and_positions(tiny: Classifier, pictures: Path, count: int) -> None:
    values = np.stack(
        [
            layer_output(tiny, LAYER, to_input(Image.open(pictures / f"{n}.png"), "stretch", 32))[0].numpy()
            for n in range(min(count, 3))
        ]
    )
    got = layer_statistics(tiny, LAYER, str(pictures), count, 32)
    axes = (0, 2, 3)
    np.testing.assert_allclose(got.mean[:, 0, 0], values.mean(axis=axes), rtol=1e-5)
    np.testing.assert_allclose(got.std[:, 0, 0], values.std(axis=axes), rtol=1e-4)
    np.testing.assert_allclose(got.nonzero[:, 0, 0], (values != 0).mean(axis=axes), rtol=1e-5)


def test_are_taken_once(tiny: Classifier, pictures: Path) -> None:
    first = layer_statistics(tiny, LAYER, str(pictures), 3, 32)
    passed: list[int] = []
    tiny.module.register_forward_pre_hook(lambda *_: passed.append(1))
    assert layer_statistics(tiny, LAYER, str(pictures), 3, 32) is first
    assert not passed
    assert not torch.equal(layer_statistics(tiny, LAYER, "scenes", 3, 32).mean, first.mean)
    assert len(passed) == 3
    assert layer_statistics(tiny, LAYER, str(pictures), 3, 32) is first, "of two in turn, both are kept"
    next(tiny.module.parameters()).mul_(2)
    assert not torch.equal(layer_statistics(tiny, LAYER, str(pictures), 3, 32).mean, first.mean)


def test_layers_behind_are_not_run(tiny: Classifier, image: torch.Tensor) -> None:
    tiny.module.get_submodule("features.6").register_forward_pre_hook(lambda *_: 1 / 0)
    assert layer_output(tiny, LAYER, image).shape == (1, 8, 24, 20)
    assert not any(module._forward_hooks for module in tiny.module.modules())


def test_a_folder_without_pictures_is_named(tiny: Classifier, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(DataError, match=rf"{folder}: .*statistics wants a folder with pictures"):
            layer_statistics(tiny, LAYER, str(folder), 3, 32)


def test_a_damaged_picture_is_named(tiny: Classifier, pictures: Path) -> None:
    (pictures / "1.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"1\.png"):
        layer_statistics(tiny, LAYER, str(pictures), 3, 32)


def test_a_folders_pictures_are_evidence(pictures: Path) -> None:
    entry = {"name": "information_bottleneck", "label": "ib", "statistics": str(pictures), "pictures": 2}
    method = parse_method(entry)
    (name, digest), *_ = before = list(custom_definitions([method]).items())
    assert (name, len(digest)) == ("ib.statistics", 64)
    (pictures / "2.png").write_bytes(b"beyond the second")
    assert list(custom_definitions([method]).items()) == before
    (pictures / "1.png").write_bytes(b"another picture")
    assert list(custom_definitions([method]).items()) != before
    assert parse_method("information_bottleneck").evidence() == {}
