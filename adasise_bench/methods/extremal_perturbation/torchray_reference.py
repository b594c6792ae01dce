"""TorchRay's own function for Extremal Perturbation, without its side effects; it serves as reference."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import nn
from torchray.attribution.extremal_perturbation import (
    contrastive_reward,
    extremal_perturbation,
    simple_reward,
)

from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.precision import arithmetic


def explain(
    classifier: Classifier,
    image: torch.Tensor,
    target: int,
    reward: Literal["simple", "contrastive"],
    **options: Any,
) -> torch.Tensor:
    """The summed masks of one image.

    Args:
        classifier: the network; the parameters' ``requires_grad`` is restored afterwards.
        image: (1, 3, H, W) float32 network input.
        target: index of the class.
        reward: which of TorchRay's reward functions is maximised.
        options: further arguments of ``torchray.attribution.extremal_perturbation``.

    Returns:
        (H, W) float32.
    """
    rewards = {"simple": simple_reward, "contrastive": contrastive_reward}
    with (
        _gradients_as_found(classifier.module),
        warnings.catch_warnings(),
        arithmetic(classifier.precision, classifier.device),
        torch.enable_grad(),
    ):
        warnings.filterwarnings("ignore", message=r"torch\.meshgrid: in an upcoming release")
        masks, _ = extremal_perturbation(
            classifier.module, image, target, reward_func=rewards[reward], **options
        )
    summed: torch.Tensor = masks.sum(dim=0)[0].float()
    return summed


@contextmanager
def _gradients_as_found(module: nn.Module) -> Iterator[None]:
    """Restore every parameter's ``requires_grad``, which TorchRay switches off and leaves off."""
    found = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        yield
    finally:
        for parameter, requires_grad in found:
            parameter.requires_grad_(requires_grad)
