"""What is written beside and below drawn maps, in the same words wherever maps are drawn."""

from __future__ import annotations

_LEAST = 0.001
"""Smaller scores are written with an exponent, because four decimals would leave them one digit or none."""


def score_line(score: float) -> str:
    """A score Ψ and its name.

    Example:
        >>> from adasise_bench.reporting.captions import score_line
        >>> score_line(0.99561), score_line(2e-5), score_line(0.0)
        ('Ψ = 0.9956', 'Ψ = 2.0e-05', 'Ψ = 0.0000')
    """
    return f"Ψ = {score:.1e}" if 0 < abs(score) < _LEAST else f"Ψ = {score:.4f}"


def score_note(kind: str) -> str:
    """What Ψ is; ``kind`` is the configuration's ``score``."""
    return f"Ψ: the network's score of the class for the whole picture ({kind})."
