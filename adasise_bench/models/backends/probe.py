"""Holds a backend's outputs against torch's before anything that counts is computed with it."""

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


_TIMES_ROUNDING = 4
"""How many times as far off as torch in the same coarse precision a pass may be. Another order of operations
rounds in other places, and by about as much."""


@dataclass(frozen=True)
class Probe:
    """Masked noise, and what is taken for the same outputs.

    Attributes:
        preprocessing: how pictures become the network's inputs.
        score: the score Ψ that counts.
    """

    preprocessing: Preprocessing
    score: ScoreName

    def refuse(
        self, forward: Forward, reference: Forward, inputs: torch.Tensor, rounded: Forward | None = None
    ) -> None:
        """Pass masked noise through torch and through ``forward``.

        Args:
            forward: the backend's forward pass.
            reference: torch's forward pass in fp32.
            inputs: (N, 3, H, W) of the shape and memory layout that ``forward`` was prepared for.
            rounded: torch's forward pass in the precision of ``forward``, where this is not fp32.

        Raises:
            DeviationError: the outputs differ by more than rounding.
        """
        probes = torch.empty_like(inputs).copy_(masked_noise(inputs.shape, self.preprocessing))
        with torch.no_grad():
            expected, found = reference(probes), forward(probes)
            allowed = None if rounded is None else rounded(probes)
        if expected.shape != found.shape:
            raise DeviationError(f"its outputs are {tuple(found.shape)}, torch's {tuple(expected.shape)}")
        raw, scores = self._differences(expected, found)
        raw_slack, score_slack = (0.0, 0.0) if allowed is None else self._differences(expected, allowed)
        raw_slack, score_slack = _TIMES_ROUNDING * raw_slack, _TIMES_ROUNDING * score_slack
        same_scores = scores <= _AGREEING + score_slack and raw <= _COARSE + raw_slack
        if not (raw <= _AGREEING + raw_slack or (self.score != "logit" and same_scores)):
            raise DeviationError(
                f"its outputs differ from torch's by {raw:.1g} of the largest, scores by {scores:.1g}"
            )

    def _differences(self, expected: torch.Tensor, found: torch.Tensor) -> tuple[float, float]:
        """Largest difference of raw outputs, as a share of the largest, and of scores."""
        expected, found = image_level(expected), image_level(found)
        largest = float(expected.abs().max())
        raw = float((found - expected).abs().max()) / (largest or 1.0)
        return raw, float((psi(found, self.score) - psi(expected, self.score)).abs().max())


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
