"""Lets foreign code use a network, and gives the network back as it was."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import nn

Versions = dict[str, tuple[int, int]]

_COPIES: WeakKeyDictionary[nn.Module, tuple[Versions, dict[str, torch.Tensor]]] = WeakKeyDictionary()


@contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Undo whatever the body does to the network: hooks, modes, modules, parameters and their values.

    The first use copies the parameters and buffers, which takes their memory once more. Values changed in
    place through ``parameter.data``, which torch does not count as a change, stay changed.
    """
    copies = _copies(module)
    found = [(part, dict(vars(part)), _entries(part)) for part in module.modules()]
    wanted = [(parameter, parameter.requires_grad) for parameter in module.parameters()]
    try:
        yield
    finally:
        for part, attributes, entries in found:
            _put_back(vars(part), attributes)
            for registry, content in entries:
                _put_back(registry, content)
        for parameter, requires_grad in wanted:
            parameter.requires_grad_(requires_grad).grad = None
        _restore_values(module, *copies)


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Start the random numbers of Python, NumPy and torch at ``seed``, and restore them afterwards."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        random.seed(seed)
        np.random.seed(seed % 2**32)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def _entries(part: nn.Module) -> list[tuple[dict[Any, Any], dict[Any, Any]]]:
    """The dictionaries that keep a module's hooks, parameters, buffers and submodules, and their content."""
    return [(value, dict(value)) for value in vars(part).values() if isinstance(value, dict)]


def _put_back(registry: dict[Any, Any], content: dict[Any, Any]) -> None:
    """Give a dictionary its content again; one that has it is not touched."""
    if list(registry) != list(content) or any(registry[key] is not content[key] for key in content):
        registry.clear()
        registry.update(content)


def _versions(module: nn.Module) -> Versions:
    """What tells that a tensor was written to or exchanged."""
    return {name: (tensor._version, tensor.data_ptr()) for name, tensor in _tensors(module).items()}


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _copies(module: nn.Module) -> tuple[Versions, dict[str, torch.Tensor]]:
    versions = _versions(module)
    known = _COPIES.get(module)
    if known is None or known[0] != versions:
        known = versions, {name: tensor.detach().clone() for name, tensor in _tensors(module).items()}
        _COPIES[module] = known
    return known


@torch.no_grad()
def _restore_values(module: nn.Module, versions: Versions, copies: dict[str, torch.Tensor]) -> None:
    changed = [name for name, version in _versions(module).items() if versions.get(name) != version]
    for name in changed:
        _tensors(module)[name].data = copies[name].clone()
    if changed:
        _COPIES[module] = _versions(module), copies
