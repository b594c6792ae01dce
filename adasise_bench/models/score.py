"""The score Ψ of a class, computed from the raw outputs of a network."""

from __future__ import annotations

from typing import Literal

import torch

ScoreName = Literal["softmax", "sigmoid", "logit", "probability"]

_LEAST = torch.finfo(torch.float32).tiny
_BELOW_ONE = 1 - torch.finfo(torch.float32).eps / 2


def image_level(outputs: torch.Tensor) -> torch.Tensor:
    """(N, C) of (N, C) or (N, C, h, w) raw outputs: the mean over positions."""
    return outputs.mean(dim=(2, 3)) if outputs.ndim == 4 else outputs


def psi(outputs: torch.Tensor, score: ScoreName) -> torch.Tensor:
    """Scores of all classes.

    Args:
        outputs: (N, C) raw outputs, or probabilities for ``probability``.
        score: ``softmax`` over the classes or ``sigmoid`` for each class. The other two take the outputs as
            they are: ``logit`` for raw outputs, ``probability`` for a network that ends in a softmax or a
            sigmoid.

    Returns:
        (N, C) float32, in [0, 1] except for ``logit``.

    Example:
        >>> from adasise_bench.models.score import psi
        >>> psi(torch.zeros(1, 4), "softmax").tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    outputs = outputs.float()
    if score == "softmax":
        return outputs.softmax(dim=1)
    return outputs.sigmoid() if score == "sigmoid" else outputs


def monotone_psi(outputs: torch.Tensor, score: ScoreName, *, add_up: bool = False) -> torch.Tensor:
    """The log-odds of Ψ, which are log Ψ - log (1 - Ψ); for ``logit`` Ψ itself.

    Their gradient is that of Ψ times a positive factor. Normalised gradients are therefore the same, but they
    keep their digits where Ψ rounds to 1. (The gradient of log softmax does not keep them: its term for the
    class itself, 1 - Ψ, becomes 0, while those of the other classes stay.)

    For ``probability``, 1 - Ψ depends on ``add_up``. If the outputs add up to 1, it is the sum of the other
    outputs. It then has all its digits, and the gradient before the network's softmax is that of the raw
    outputs' log-odds. If they do not add up, as behind a sigmoid, 1 - Ψ is computed as it stands. An output
    that was rounded to 1 then gives no gradient, because none passes the network's last layer.

    Args:
        outputs: (N, C) as in :func:`psi`.
        score: the score.
        add_up: whether the outputs are probabilities that add up to 1 (for ``probability``).

    Returns:
        (N, C).

    Example:
        >>> from adasise_bench.models.score import monotone_psi
        >>> monotone_psi(torch.tensor([[3.0, 1.0]]), "softmax").tolist()  # of two classes: the difference
        [[2.0, -2.0]]
    """
    if score == "softmax":
        return outputs - _others(outputs).logsumexp(dim=2)
    if score == "probability":
        outputs = outputs.float()
        rest = _others(outputs, 0).sum(dim=2) if add_up else 1 - outputs.clamp(max=_BELOW_ONE)
        return outputs.clamp(min=_LEAST).log() - rest.clamp(min=_LEAST).log()
    return outputs


def _others(outputs: torch.Tensor, itself: float = -torch.inf) -> torch.Tensor:
    """(N, C) to (N, C, C): row c has the outputs of all classes, but ``itself`` in place of that of c."""
    diagonal = torch.eye(outputs.shape[1], dtype=torch.bool, device=outputs.device)
    return outputs[:, None].masked_fill(diagonal, itself)
