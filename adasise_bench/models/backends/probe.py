"""Holds a backend's fp32 outputs against torch's before anything that counts is computed with it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import cycle, islice

import torch
import torch.nn.functional as F

from adasise_bench.data.transforms import Preprocessing
from adasise_bench.models.backends.base import Forward
from adasise_bench.models.score import ScoreName, image_level, psi

_AGREEING = 1e-5
"""Largest difference of scores, or of raw outputs as a share of the largest, that is taken for rounding."""

_COARSE = 1e-3
"""The same of raw outputs whose scores agree: where a score is close to 0 or 1 it hides wrong outputs."""


@dataclass(frozen=True)
class Probe:
    """Masked noise, and what is taken for the same outputs.

    Attributes:
        reference: torch's forward pass in fp32.
        preprocessing: how pictures become the network's inputs.
        score: the score Ψ that counts.
    """

    reference: Forward
    preprocessing: Preprocessing
    score: ScoreName

    def refuse(self, forward: Forward, inputs: torch.Tensor) -> None:
        """Pass masked noise through torch and through ``forward``.

        Args:
            forward: the backend's forward pass in fp32.
            inputs: (N, 3, H, W) of the shape and memory layout that it was prepared for.

        Raises:
            DeviationError: the outputs differ by more than rounding.
        """
        probes = torch.empty_like(inputs).copy_(masked_noise(inputs.shape, self.preprocessing))
        with torch.no_grad():
            expected, found = self.reference(probes), forward(probes)
        if expected.shape != found.shape:
            raise DeviationError(f"its outputs are {tuple(found.shape)}, torch's {tuple(expected.shape)}")
        expected, found = image_level(expected), image_level(found)
        largest = float(expected.abs().max())
        raw = float((found - expected).abs().max()) / largest if largest else float(found.abs().max())
        scores = float((psi(found, self.score) - psi(expected, self.score)).abs().max())
        same_scores = self.score != "logit" and scores <= _AGREEING and raw <= _COARSE
        if not (raw <= _AGREEING or same_scores):
            raise DeviationError(
                f"its outputs differ from torch's by {raw:.1g} of the largest, scores by {scores:.1g}"
            )


class DeviationError(Exception):
    """A backend computes something else than torch; says by how much."""


def masked_noise(shape: torch.Size, preprocessing: Preprocessing) -> torch.Tensor:
    """Noise of several scales under smooth masks, the last all masked: (N, 3, H, W) float32 network inputs.

    Args:
        shape: of the inputs.
        preprocessing: how pictures become inputs.
    """
    count, size = shape[0], (shape[2], shape[3])
    generator = torch.Generator().manual_seed(0)
    pictures = torch.cat([_noise(side, size, generator) for side in islice(cycle((3, 9, 27, 81)), count)])
    masks = torch.cat([_noise(7, size, generator)[:, :1] for _ in range(count)])
    masks[-1] *= count == 1
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (pictures * preprocessing.scale - mean) / std * masks


def _noise(side: int, size: tuple[int, int], generator: torch.Generator) -> torch.Tensor:
    """Noise of ``side`` by ``side`` pixels between 0 and 1, stretched: (1, 3, *size)."""
    return F.interpolate(torch.rand(1, 3, side, side, generator=generator), size, mode="bilinear")
