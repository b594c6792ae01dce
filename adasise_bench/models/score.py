"""The score Ψ of a class, from the raw outputs of a network (PROTOCOL: softmax unless said otherwise)."""

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
        score: ``softmax`` over the classes, ``sigmoid`` per class, or the outputs as they are: raw ones as
            ``logit``, those of a network that ends in a softmax or a sigmoid as ``probability``.

    Returns:
        (N, C) float32; in [0, 1] but for ``logit``.
    """
    outputs = outputs.float()
    if score == "softmax":
        return outputs.softmax(dim=1)
    return outputs.sigmoid() if score == "sigmoid" else outputs


def monotone_psi(outputs: torch.Tensor, score: ScoreName, *, add_up: bool = False) -> torch.Tensor:
    """Log-odds of Ψ, log Ψ - log (1 - Ψ), or Ψ itself for ``logit``: (N, C).

    Its gradient is Ψ's times a positive factor, so that normalised gradients are the same, but it keeps
    its digits where Ψ rounds to 1. (The gradient of log softmax does not: its term of the class itself,
    1 - Ψ, cancels while those of the other classes stay.)

    For ``probability``, 1 - Ψ is the sum of the other outputs where they are known to add up to 1: it has all
    its digits then, and the gradient behind the network's softmax is that of the raw outputs' log-odds.
    Where they do not, as behind a sigmoid, it is taken literally; an output that has been rounded to 1 gives
    no gradient, since none passes the network's last step.

    Args:
        outputs: (N, C) as in :func:`psi`.
        score: the score.
        add_up: whether the outputs are probabilities that add up to 1 (for ``probability``).
    """
    if score == "softmax":
        return outputs - _others(outputs).logsumexp(dim=2)
    if score == "probability":
        outputs = outputs.float()
        rest = _others(outputs, 0).sum(dim=2) if add_up else 1 - outputs.clamp(max=_BELOW_ONE)
        return outputs.clamp(min=_LEAST).log() - rest.clamp(min=_LEAST).log()
    return outputs


def _others(outputs: torch.Tensor, itself: float = -torch.inf) -> torch.Tensor:
    """(N, C) to (N, C, C): row c has the outputs of all classes, with ``itself`` in place of that of c."""
    diagonal = torch.eye(outputs.shape[1], dtype=torch.bool, device=outputs.device)
    return outputs[:, None].masked_fill(diagonal, itself)
