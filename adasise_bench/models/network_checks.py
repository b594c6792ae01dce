"""Checks of a user's own network, before any result is computed with it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import chain
from typing import NamedTuple

import torch
from torch import nn

from adasise_bench.data.transforms import Preprocessing
from adasise_bench.models.engine import LAYOUTS, LayoutName
from adasise_bench.models.function_check import refuse_no_function
from adasise_bench.models.input_copies import protect_inputs
from adasise_bench.models.output_check import add_up_to_one, checked_outputs, refuse_senseless_score
from adasise_bench.models.score import ScoreName
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.process_state import restored

_ROUNDING = 1e-3
"""Outputs of two memory layouts that differ by no more than this share of the largest differ by rounding."""


class Answers(NamedTuple):
    """What the checks found out.

    Attributes:
        layouts: memory layouts in which the network runs, the one that it is left in first.
        outputs_add_up: whether its outputs are probabilities of classes that exclude each other.
    """

    layouts: tuple[LayoutName, ...]
    outputs_add_up: bool


def check_network(
    where: str,
    module: nn.Module,
    preprocessing: Preprocessing,
    classes: tuple[str, ...],
    score: ScoreName,
    *,
    input_size: int,
    resize: str,
    device: torch.device,
) -> Answers:
    """Pass noise through the network, and refuse it if it would silently give wrong numbers.

    Args:
        where: the name of the network in messages.
        module: the network in evaluation mode, on ``device``. Afterwards it is in the first layout that
            works, and gets copies of its inputs if it changes them.
        preprocessing: how pictures become its inputs.
        classes: names of its outputs.
        score: the configuration's score Ψ.
        input_size: length of the input's (shorter) side in pixels.
        resize: with ``short-side``, inputs that are not squares are tried as well.
        device: where the network is.

    Raises:
        ConfigError: one line that says what does not fit, and what to do.
        WeightsError: outputs that are not finite.
    """
    probes = noise_pictures(input_size, preprocessing).to(device)
    with arithmetic("fp32", device):
        _refuse_changes(where, module, probes)
        outputs = _outputs_by_layout(where, module, probes, classes)
        first = next(iter(outputs))
        if first != "contiguous":
            module.to(memory_format=LAYOUTS[first])
        protect_inputs(module, probes)
        refuse_no_function(where, module, probes)
        outputs = _agreeing(where, outputs)
        refuse_senseless_score(where, module, probes, outputs[first], score)
        if resize == "short-side":
            _try_narrow(where, module, probes, classes)
    return Answers(tuple(outputs), score == "probability" and add_up_to_one(outputs[first]))


def noise_pictures(side: int, preprocessing: Preprocessing) -> torch.Tensor:
    """Two pictures of noise as network inputs, (2, 3, side, side). The second is brighter and flatter."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(2, 3, side, side, generator=generator)
    pictures[1] = 0.6 + 0.3 * pictures[1]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (pictures * preprocessing.scale - mean) / std


def _refuse_changes(where: str, module: nn.Module, probes: torch.Tensor) -> None:
    """Refuse a forward pass that changes a setting of the whole process: to undo it each time takes long.

    Raises:
        ConfigError: it changes some; the message names them.
    """
    with (
        suppress(ConfigError),  # a network that fails here fails again below, where the error is handled
        restored(where, keep=("warning filters",)) as changed,
        torch.no_grad(),
    ):
        module(probes.clone())
    if changed:
        raise ConfigError(
            f"{where}: its forward pass changes {', '.join(dict.fromkeys(changed))} for the whole process; "
            "do that where the network is made, which the tool undoes, or in a `with` block"
        )


def _outputs_by_layout(
    where: str, module: nn.Module, probes: torch.Tensor, classes: tuple[str, ...]
) -> dict[LayoutName, torch.Tensor]:
    """The (2, C) outputs in every memory layout in which the network runs. One line reports one that fails.

    Raises:
        ConfigError: the network fails in all layouts; this is the first failure.
    """
    found: dict[LayoutName, torch.Tensor] = {}
    failures: dict[LayoutName, ConfigError] = {}
    for layout, memory_format in LAYOUTS.items():
        try:
            with _parameters_in(module, memory_format):
                outputs = checked_outputs(where, module, probes, classes)
                if layout != "contiguous":  # methods pass batches in the layout, and pictures as they come
                    checked_outputs(where, module, _arranged(probes, memory_format), classes)
        except ConfigError as error:
            failures[layout] = error
        else:
            found[layout] = outputs
    if not found:
        raise next(iter(failures.values()))
    for layout, failure in failures.items():
        print(f"{failure}; in memory layout {layout}, so it runs in {next(iter(found))}", file=sys.stderr)  # noqa: T201
    return found


def _agreeing(where: str, outputs: dict[LayoutName, torch.Tensor]) -> dict[LayoutName, torch.Tensor]:
    """The layouts whose outputs are those of the first one. One line reports a layout that differs."""
    (first, reference), *others = outputs.items()
    largest = reference.abs().max()
    agreeing = {first: reference}
    for layout, found in others:
        if (found - reference).abs().max() <= _ROUNDING * largest:
            agreeing[layout] = found
        else:
            print(  # noqa: T201
                f"{where}: gives other outputs in memory layout {layout}, so it runs in {first}",
                file=sys.stderr,
            )
    return agreeing


def _try_narrow(where: str, module: nn.Module, probes: torch.Tensor, classes: tuple[str, ...]) -> None:
    """Try inputs that are not squares.

    Raises:
        ConfigError: they fail; the message names the setting that makes such inputs.
    """
    try:
        checked_outputs(where, module, probes[..., : probes.shape[2] * 3 // 4], classes)
    except ConfigError as error:
        reason = str(error).removeprefix(f"{where}: ")
        raise ConfigError(f"{where}: data.resize=short-side: {reason}") from None


def _arranged(tensor: torch.Tensor, memory_format: torch.memory_format) -> torch.Tensor:
    return tensor.contiguous(memory_format=memory_format)


@contextmanager
def _parameters_in(module: nn.Module, memory_format: torch.memory_format) -> Iterator[None]:
    """Put the network's parameters in a memory format for the body; afterwards the old ones come back."""
    found = [(tensor, tensor.data) for tensor in chain(module.parameters(), module.buffers())]
    try:
        for tensor, data in found:
            if data.ndim == 4:
                tensor.data = _arranged(data, memory_format)
        yield
    finally:
        for tensor, data in found:
            tensor.data = data
