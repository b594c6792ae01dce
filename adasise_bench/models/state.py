"""Finds the parameters of a network in a checkpoint, where training scripts put them, and loads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from adasise_bench.models import checkpoint
from adasise_bench.utils.errors import WeightsError

State = dict[str, torch.Tensor]

_DEPTH = 4
"""How many levels of mappings are searched for parameters."""

_WRAPPERS = frozenset({"module", "_orig_mod"})
"""Parts of names that DataParallel, AveragedModel and torch.compile add."""

_COUNTERS = frozenset({"n_averaged"})
"""Entries that AveragedModel keeps beside the parameters."""

_SHOWN = 2


def load_state(path: Path, module: nn.Module, where: str) -> None:
    """Load the parameters of a checkpoint into a network.

    They may be in a mapping within the file (``state_dict``, ``model``, ``ema`` and others), and their names
    may have further parts in front (``module.``, ``_orig_mod.``, ``model.``). Only parameters with exactly
    the network's names and shapes are loaded. If the file has two sets of them that differ, it is refused.

    Args:
        path: the file.
        module: the network. If nothing in the file fits, some of its parameters may have changed.
        where: the name of the network in messages.

    Raises:
        WeightsError: the file cannot be read safely, nothing in it fits, or several sets fit and differ.
    """
    content = checkpoint.read_content(path)
    found = states_in(content)
    if not found:
        checkpoint.checked_state(path, content)  # raises the error that says what the content is
    fitting = {
        place: state for place, named in found.items() if (state := _fitting(module, named)) is not None
    }
    if not fitting:
        nearest = max((state for named in found.values() for state in _renamed(named)), key=_likeness(module))
        checkpoint.checked_state(path, nearest)
        raise WeightsError(f"{path}: does not fit {where}: {_differences(module, nearest)}")
    first, *others = fitting.values()
    if not all(_same(first, other) for other in others):
        places = " and ".join(repr(place) for place in fitting)
        raise WeightsError(
            f"{path}: {places} both fit {where} and differ; save the one that you mean as a file of its own"
        )
    module.load_state_dict(checkpoint.checked_state(path, first))


def states_in(content: Any) -> dict[str, State]:
    """Find the mappings of names to tensors in a checkpoint.

    Returns:
        Each mapping by the keys that lead to it, joined by dots.
    """
    found: dict[str, State] = {}
    seen: set[int] = set()
    level: list[tuple[str, Any]] = [("", content)]
    for _ in range(_DEPTH):
        below: list[tuple[str, Any]] = []
        for place, value in level:
            if not isinstance(value, dict) or id(value) in seen:
                continue
            seen.add(id(value))
            if value and all(isinstance(k, str) and isinstance(v, torch.Tensor) for k, v in value.items()):
                found[place] = value
            else:
                below += [(f"{place}.{key}".strip("."), inner) for key, inner in value.items()]
        level = below
    return found


def _renamed(state: State) -> Iterator[State]:
    """The state with its own names, then without parts of wrappers, then without shared first parts."""
    yield state
    plain = {_unwrapped(name): value for name, value in state.items() if name not in _COUNTERS}
    if len(plain) == len(state.keys() - _COUNTERS):
        yield plain
        while plain and len({name.partition(".")[0] for name in plain}) == 1 and all("." in n for n in plain):
            plain = {name.partition(".")[2]: value for name, value in plain.items()}
            yield plain


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _fitting(module: nn.Module, state: State) -> State | None:
    """The first renaming of a state that the network accepts completely. It is loaded by this."""
    expected = module.state_dict().keys()
    for renamed in _renamed(state):
        if not expected.isdisjoint(renamed) and _takes(module, renamed):
            return renamed
    return None


def _takes(module: nn.Module, state: State) -> bool:
    if not all(map(checkpoint.is_plain, state.values())):
        return False
    try:
        module.load_state_dict(state)
    except Exception:  # a network of the user's own may check what it loads in any way
        return False
    return True


def _likeness(module: nn.Module) -> Any:
    """A sorting key: how many names a state shares with the network, and then how few it has in all."""
    expected = module.state_dict().keys()
    return lambda state: (len(expected & state.keys()), -len(state))


def _same(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def _differences(module: nn.Module, state: State) -> str:
    """How a state differs from the network's in names and shapes, with two examples of each kind."""
    expected = module.state_dict()
    missing = [name for name in expected if name not in state]
    surplus = [name for name in state if name not in expected]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(value.shape)}"
        for name, value in expected.items()
        if name in state and isinstance(value, torch.Tensor) and state[name].shape != value.shape
    ]
    kinds = {"missing": missing, "surplus": surplus, "of another shape": shapes}
    told = [f"{kind}: {_listed(names)}" for kind, names in kinds.items() if names]
    return "; ".join(told) or "its load_state_dict refuses the values"


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
