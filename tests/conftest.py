"""Tiny deterministic networks, a tiny VOC set, and where the shared material is."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from torchvision.models.resnet import Bottleneck, ResNet

from adasise_bench.methods import Explanation, Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.models.batching import BatchSize
from adasise_bench.models.classifier import Classifier, Weights
from adasise_bench.models.engine import Engine
from adasise_bench.utils.timing import PhaseClock

pytest_plugins = ["table_folder"]  # a second conftest.py would hide this one from `from conftest import`

torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"
"""Threads make slow work of small networks, and runs in other processes must round as those in this one."""

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real pictures and stand-in weights; its tests are skipped where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"needs real pictures and stand-in weights in {SHARED}")
    return SHARED


@pytest.fixture
def cuda() -> torch.device:
    """The first GPU; the tests that need one (marked ``gpu``) are skipped without."""
    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    return torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def _private_caches(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path_factory.getbasetemp() / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    monkeypatch.setenv("TORCH_HOME", str(cache / "torch"))


class TinyVGG(nn.Module):
    """Three convolution blocks with pooling and a linear head on averaged maps."""

    def __init__(self) -> None:
        super().__init__()
        widths = [3, 6, 8, 10]
        layers: list[nn.Module] = []
        for i in range(3):
            layers += [
                nn.Conv2d(widths[i], widths[i + 1], 3, padding=1),
                nn.ReLU(inplace=True),
                nn.MaxPool2d(2),
            ]
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(widths[-1], 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.features(x / 60).mean(dim=(2, 3)))


def make_classifier(
    module: nn.Module, blocks: tuple[str, ...], classes: tuple[str, ...], **changes: object
) -> Classifier:
    settings = {
        "name": "tiny",
        "module": module.eval().requires_grad_(False),
        "classes": classes,
        "blocks": blocks,
        "score": "softmax",
        "precision": "fp32",
        "weights": Weights("tiny", "0" * 64, False),
        "device": torch.device("cpu"),
        "batch_size": BatchSize(16),
        "engine": Engine("contiguous", 16),
    }
    return Classifier(**(settings | changes))  # type: ignore[arg-type]


def explained(
    entry: object, classifier: Classifier, image: torch.Tensor, target: int, **request: Any
) -> Explanation:
    """What the method of an entry under ``methods`` finds."""
    method = parse_method(entry)
    clock = PhaseClock(classifier.device)
    return method.explain(classifier, Request(method, image, target, **request), clock)


@pytest.fixture
def tiny() -> Classifier:
    torch.manual_seed(3)
    return make_classifier(TinyVGG(), ("features.1", "features.4", "features.7"), tuple("abcd"))


@pytest.fixture(scope="session")
def resnet_layout() -> Classifier:
    """TorchRay's ResNet-50 stem and block layout, one bottleneck per layer, random weights."""
    torch.manual_seed(5)
    module = ResNet(Bottleneck, [1, 1, 1, 1], num_classes=20)
    module.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3)
    module.maxpool = nn.MaxPool2d(3, stride=2, padding=0, ceil_mode=True)
    return make_classifier(
        module, ("relu", "layer1", "layer2", "layer3", "layer4"), tuple("abcdefghijklmnopqrst")
    )


@pytest.fixture
def image() -> torch.Tensor:
    """A smooth (1, 3, 48, 40) picture in the range of preprocessed inputs."""
    coarse = torch.randn(1, 3, 6, 5, generator=torch.Generator().manual_seed(11)) * 60
    return torch.nn.functional.interpolate(coarse, (48, 40), mode="bicubic")


def write_annotation(path: Path, size: tuple[int, int], boxes: list[tuple[str, int, int, int, int]]) -> None:
    objects = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x0}</xmin><ymin>{y0}</ymin>"
        f"<xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
        for name, x0, y0, x1, y1 in boxes
    )
    width, height = size
    path.write_text(
        f"<annotation><size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
        f"{objects}</annotation>"
    )


ORIENTATION = 0x0112
"""EXIF's tag."""


def turned_for(orientation: int, upright: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a camera stores for an upright view, by the meaning of the EXIF tag."""
    stored: dict[int, Callable[[], NDArray[np.uint8]]] = {
        1: lambda: upright,
        2: lambda: upright[:, ::-1],
        3: lambda: upright[::-1, ::-1],
        4: lambda: upright[::-1],
        5: lambda: upright.transpose(1, 0, 2),
        6: lambda: np.rot90(upright, 1),
        7: lambda: np.rot90(upright, 2).transpose(1, 0, 2),
        8: lambda: np.rot90(upright, -1),
    }
    return np.ascontiguousarray(stored[orientation]())


def save_turned(path: Path, orientation: int, upright: NDArray[np.uint8]) -> Path:
    """Save an upright picture turned, with the EXIF orientation that turns it back."""
    image = Image.fromarray(turned_for(orientation, upright))
    exif = image.getexif()
    exif[ORIENTATION] = orientation
    image.save(path, exif=exif)
    return path


@pytest.fixture
def voc_root(tmp_path: Path) -> Path:
    """Three small pictures in VOC layout: dog and person, person, cat."""
    base = tmp_path / "voc" / "VOCdevkit" / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    content = {
        "000001": ((60, 40), [("person", 1, 1, 30, 20), ("dog", 31, 11, 60, 40), ("dog", 1, 1, 5, 5)]),
        "000002": ((40, 60), [("person", 11, 11, 20, 50)]),
        "000003": ((50, 30), [("cat", 1, 1, 50, 30)]),
    }
    noise = np.random.default_rng(0)
    for image_id, (size, boxes) in content.items():
        pixels = noise.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(base / "JPEGImages" / f"{image_id}.jpg", quality=95)
        write_annotation(base / "Annotations" / f"{image_id}.xml", size, boxes)
    (base / "ImageSets" / "Main" / "test.txt").write_text("\n".join(content) + "\n")
    return base.parents[1]


_HANGS_AFTER = 60


@pytest.fixture
def bounded(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Stop what hangs, and find whatever was executed or written beside the input's own folder.

    Payloads touch ``executed`` in the working folder, which must be empty afterwards.
    """

    def stop(_number: int, _frame: object) -> None:
        pytest.fail(f"hangs: not done after {_HANGS_AFTER} seconds")

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    monkeypatch.chdir(elsewhere)
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(_HANGS_AFTER)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    assert not list(elsewhere.iterdir()), "executed, or written outside of its own folder"
