"""The score Ψ of a class, from the raw outputs of a network (PROTOCOL: softmax unless said otherwise)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F

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
    """log Ψ for ``softmax`` and ``sigmoid``, Ψ itself for ``logit``: (N, C).

    Its gradient is Ψ's times a positive factor, so that normalised gradients are the same, but it does
    not vanish where Ψ rounds to 1.
    """
    if score == "softmax":
        return F.log_softmax(outputs, dim=1)
    return F.logsigmoid(outputs) if score == "sigmoid" else outputs
