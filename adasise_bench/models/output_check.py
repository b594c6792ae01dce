"""Refuses outputs that do not fit the classes, or for which the score Ψ has no meaning."""

from __future__ import annotations

import sys

import torch
from torch import nn

from adasise_bench.models.score import ScoreName, image_level
from adasise_bench.utils.errors import ConfigError, WeightsError

_ROUNDING = 1e-4
"""How far the sum of probabilities may be from 1. Some networks end in half precision."""


@torch.no_grad()
def checked_outputs(
    where: str, module: nn.Module, inputs: torch.Tensor, classes: tuple[str, ...]
) -> torch.Tensor:
    """Pass two inputs together and one alone through the network.

    Args:
        where: the name of the network in messages.
        module: the network.
        inputs: (2, 3, H, W).
        classes: names of the C outputs.

    Returns:
        (2, C) outputs at image level.

    Raises:
        ConfigError: the pass fails, or does not give one number for each input and class.
        WeightsError: the outputs are not finite.
    """
    for count in (2, 1):
        outputs = module(inputs[:count].clone())
        if not isinstance(outputs, torch.Tensor) or outputs.ndim not in (2, 4) or len(outputs) != count:
            raise ConfigError(
                f"{where}: gives {_kind(outputs)} for {count} input{'s' if count > 1 else ''}, "
                f"not ({count}, classes) raw outputs{_squeezed(outputs, count)}"
            )
        if outputs.shape[1] != len(classes):
            raise ConfigError(
                f"{where}: has {outputs.shape[1]} outputs for {len(classes)} classes; "
                "name its outputs, in order, in `classes`"
            )
        if not torch.isfinite(image_level(outputs)).all():
            raise WeightsError(f"{where}: outputs are not finite")
        if count == len(inputs):
            found = image_level(outputs)
    return found


def refuse_senseless_score(
    where: str, module: nn.Module, probes: torch.Tensor, outputs: torch.Tensor, score: ScoreName
) -> None:
    """Refuse a score that has no meaning for these outputs, or that would be applied to a score.

    Args:
        where: the name of the network in messages.
        module: the network.
        probes: (N, 3, H, W), two inputs or more.
        outputs: (N, C), the network's outputs for them at image level.
        score: the configuration's score Ψ.

    Raises:
        ConfigError: the score does not fit; the message names one that does.
    """
    single, distribution = outputs.shape[1] == 1, add_up_to_one(outputs)
    within_unit = bool(((outputs >= 0) & (outputs <= 1 + _ROUNDING)).all())
    if single and (score == "softmax" or distribution):
        cause = (
            "whose softmax is 1 for every picture" if score == "softmax" else "which is 1 for every picture"
        )
        raise ConfigError(f"{where}: has one output, {cause}; return the raw output and set `score: sigmoid`")
    if score == "probability":
        if not within_unit:
            raise ConfigError(
                f"{where}: outputs reach from {outputs.min():.3g} to {outputs.max():.3g}, which are no "
                "probabilities; set `score: softmax` or `score: sigmoid`"
            )
        return
    if score == "logit":
        return
    cure = "set `score: probability`, which takes them as they are, or return what enters that last step"
    if distribution:
        raise ConfigError(
            f"{where}: outputs are never negative and add up to 1, so the network ends in a softmax, and "
            f"`score: {score}` would be applied to its result; {cure}"
        )
    if score == "sigmoid" and add_up_to_one(outputs.exp()):
        raise ConfigError(
            f"{where}: outputs are logarithms of probabilities that add up to 1, so the network ends in a "
            "log-softmax; set `score: softmax`, which gives the probabilities back"
        )
    if within_unit and _ends_in_sigmoid(module, probes):
        raise ConfigError(
            f"{where}: the network ends in a sigmoid, and `score: {score}` would be applied to its result; "
            f"{cure}"
        )
    if within_unit:
        print(  # noqa: T201
            f"{where}: all outputs for two noise pictures lie between 0 and 1; if they are probabilities "
            "already, set `score: probability`",
            file=sys.stderr,
        )


def add_up_to_one(outputs: torch.Tensor) -> bool:
    """Whether all (N, C) outputs are at least 0, and those of every input add up to 1 but for rounding."""
    return bool((outputs >= 0).all() and ((outputs.sum(dim=1) - 1).abs() <= _ROUNDING).all())


def _ends_in_sigmoid(module: nn.Module, probes: torch.Tensor) -> bool:
    """Whether the last operation in torch's graph is a sigmoid."""
    with torch.enable_grad():
        outputs = module(probes.clone().requires_grad_() * 1)  # times 1: nobody may overwrite a leaf
    return outputs.grad_fn is not None and outputs.grad_fn.name().startswith("Sigmoid")


def _kind(outputs: object) -> str:
    return str(tuple(outputs.shape)) if isinstance(outputs, torch.Tensor) else type(outputs).__name__


def _squeezed(outputs: object, count: int) -> str:
    """A hint for outputs that have lost the dimension of a batch of one."""
    if count == 1 and isinstance(outputs, torch.Tensor) and outputs.ndim in (0, 1, 3):
        return "; `.squeeze()` also drops the batch of one: use `.flatten(1)`"
    return ""
