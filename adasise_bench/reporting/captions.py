"""What is written beside and below drawn maps, in the same words wherever maps are drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from adasise_bench.reporting.tables import title_of

if TYPE_CHECKING:
    from adasise_bench.methods.base import Method

_LEAST = 0.001
"""Smaller scores are written with an exponent, because four decimals would leave them one digit or none."""


def score_text(score: float) -> str:
    """A score Ψ as it is written for people.

    Example:
        >>> from adasise_bench.reporting.captions import score_text
        >>> score_text(0.99561), score_text(2e-5), score_text(0.0)
        ('0.9956', '2.0e-05', '0.0000')
    """
    return f"{score:.1e}" if 0 < abs(score) < _LEAST else f"{score:.4f}"


def score_line(score: float) -> str:
    """A score Ψ and its name.

    Example:
        >>> from adasise_bench.reporting.captions import score_line
        >>> score_line(0.99561)
        'Ψ = 0.9956'
    """
    return f"Ψ = {score_text(score)}"


def score_note(kind: str) -> str:
    """What Ψ is; ``kind`` is the configuration's ``score``."""
    return f"Ψ: the network's score of the class for the whole picture ({kind})."


def options_notes(methods: Iterable[Method]) -> Iterator[str]:
    """A sentence for each method whose options are not all the defaults."""
    for method in methods:
        if changed := method.changed_options():
            listed = ", ".join(f"{name}={value}" for name, value in changed.items())
            yield f"{title_of(method.label)}: {listed}."
