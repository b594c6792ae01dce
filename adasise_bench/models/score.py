"""The score Ψ of a class, from the raw outputs of a network (PROTOCOL: softmax unless said otherwise)."""

from __future__ import annotations

from typing import Literal

import torch

ScoreName = Literal["softmax", "sigmoid", "logit"]


def psi(outputs: torch.Tensor, score: ScoreName) -> torch.Tensor:
    """Scores of all classes.

    Args:
        outputs: (N, C) raw outputs.
        score: ``softmax`` over the classes, ``sigmoid`` per class, or the raw ``logit``.

    Returns:
        (N, C) float32; in [0, 1] for ``softmax`` and ``sigmoid``.
    """
    outputs = outputs.float()
    if score == "softmax":
        return outputs.softmax(dim=1)
    return outputs.sigmoid() if score == "sigmoid" else outputs


def monotone_psi(outputs: torch.Tensor, score: ScoreName) -> torch.Tensor:
    """Log-odds of Ψ for ``softmax`` and ``sigmoid``, Ψ itself for ``logit``: (N, C).

    Its gradient is Ψ's times a positive factor, so that normalised gradients are the same, but it keeps
    its digits where Ψ rounds to 1. (The gradient of log softmax does not: its term of the class itself,
    1 - Ψ, cancels while those of the other classes stay.)
    """
    if score == "softmax":
        itself = torch.eye(outputs.shape[1], dtype=torch.bool, device=outputs.device)
        others = outputs[:, None].masked_fill(itself, -torch.inf)
        return outputs - others.logsumexp(dim=2)
    return outputs
