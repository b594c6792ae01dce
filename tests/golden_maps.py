"""Maps of a tiny network, kept in git; ``python tests/golden_maps.py`` writes those that are missing.

A file is named by the definition of its method. A change that moves the map by more than ``TOLERANCE``
takes a new name in ``adasise_bench.methods.registry.METHODS``, and this command then writes a new file.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from conftest import TinyVGG, make_classifier
from numpy.typing import NDArray

from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.timing import PhaseClock

FOLDER = Path(__file__).parent / "golden"
TOLERANCE = 1e-4
"""Largest difference of a pixel, as a share of the map's highest where that is below 1.

SISE's maps reach from 0 to 1, Extremal Perturbation's from 0 to 4, those of gradients to far less.
"""

OPTIONS: dict[str, dict[str, object]] = {
    "extremal_perturbation": {"iterations": 12, "step": 3, "sigma": 6.0},
    "rise": {"masks": 300},
    "information_bottleneck": {"pictures": 3, "iterations": 5},
}


def golden_path(method: str) -> Path:
    return FOLDER / f"{METHODS[method].definition}.npy"


def tolerance(expected: NDArray[np.float32]) -> float:
    return TOLERANCE * min(1.0, float(expected.max()))


def golden_map(method: str, classifier: Classifier | None = None) -> NDArray[np.float32]:
    """The map of class 1 of a smooth picture, (24, 20) float32."""
    options = parse_method({"name": method} | OPTIONS.get(method, {}))
    coarse = torch.rand(1, 3, 6, 5, generator=torch.Generator().manual_seed(11)) * 240 - 120
    image = torch.nn.functional.interpolate(coarse, (24, 20), mode="bilinear")
    inside = torch.zeros(24, 20, dtype=torch.bool)
    inside[5:15, 4:9] = True
    request = Request(options, image, 1, inside=inside)
    explanation = options.explain(classifier or network(), request, PhaseClock(torch.device("cpu")))
    return explanation.saliency.numpy()


def network() -> Classifier:
    torch.manual_seed(3)
    return make_classifier(TinyVGG(), ("features.1", "features.4", "features.7"), tuple("abcd"))


def main() -> None:
    for method in METHODS:
        path, saliency = golden_path(method), golden_map(method)
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            np.save(path, saliency)
            sys.stdout.write(f"written: {path}\n")
        elif np.abs(np.load(path) - saliency).max() > tolerance(np.load(path)):
            sys.exit(f"{path}: the map has changed; give {method} a new definition in METHODS")


if __name__ == "__main__":
    main()
