"""Lets foreign code use a network, and restores the network and the process afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import nn

from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.process_state import put_back, restored, seeded

Versions = dict[str, tuple[int, int]]

_COPIES: WeakKeyDictionary[nn.Module, tuple[Versions, dict[str, torch.Tensor]]] = WeakKeyDictionary()


@contextmanager
def contained(where: str, module: nn.Module, seed: int, device: torch.device) -> Iterator[None]:
    """Run foreign code in fp32 with random numbers that begin at ``seed``, and undo what it changes.

    Args:
        where: the name of the code in messages.
        module: the network that it may use; see :func:`preserved`.
        seed: where the random numbers of Python, NumPy and torch begin.
        device: where the network is.

    Raises:
        BenchError: it changed something for the whole process that cannot be restored.
    """
    with preserved(module), seeded(seed, device), arithmetic("fp32", device), restored(where):
        yield


@contextmanager
def preserved(module: nn.Module) -> Iterator[None]:
    """Undo all changes to a network in a ``with`` block: hooks, modes, classes, modules, parameters, values.

    The first use copies the parameters and buffers, so that they take twice their memory. Values that are
    changed in place through ``parameter.data`` or a NumPy view stay changed, since torch does not count them.
    """
    copies = _copies(module)
    parts = [_Part(part, type(part), dict(vars(part)), _contents(part)) for part in module.modules()]
    kinds = {kind: dict(vars(kind)) for part in parts for kind in part.kind.__mro__ if kind is not object}
    tensors = [(tensor, tensor.requires_grad, _hooks(tensor)) for tensor in _tensors(module).values()]
    try:
        yield
    finally:
        for kind, attributes in kinds.items():
            _restore_class(kind, attributes)
        for part in parts:
            part.restore()
        for tensor, requires_grad, hooks in tensors:
            if tensor.is_leaf:
                tensor.requires_grad_(requires_grad).grad = None
            if tensor._backward_hooks:
                put_back(tensor._backward_hooks, hooks)
        _restore_values(module, *copies)


class _Part(NamedTuple):
    """A module as it was found: its class, its attributes, and the contents of its dictionaries and lists."""

    module: nn.Module
    kind: type
    attributes: dict[str, Any]
    contents: list[tuple[Any, Any]]

    def restore(self) -> None:
        if type(self.module) is not self.kind:
            object.__setattr__(self.module, "__class__", self.kind)
        put_back(vars(self.module), self.attributes)
        for container, content in self.contents:
            if isinstance(container, dict):
                put_back(container, content)
            else:
                container[:] = content


def _contents(part: nn.Module) -> list[tuple[Any, Any]]:
    """The lists and dictionaries of a module, such as those of hooks and parameters, with copies of them."""
    return [(value, value.copy()) for value in vars(part).values() if isinstance(value, dict | list)]


def _restore_class(kind: type, attributes: dict[str, Any]) -> None:
    """Restore the methods and attributes of a class, which all modules of the class share."""
    current = dict(vars(kind))
    for name in current.keys() - attributes.keys():
        delattr(kind, name)
    for name, value in attributes.items():
        if current.get(name) is not value:
            setattr(kind, name, value)


def _hooks(tensor: torch.Tensor) -> dict[Any, Any]:
    return dict(tensor._backward_hooks or {})


def _versions(module: nn.Module) -> Versions:
    """Of each tensor two numbers that change when it is written to or replaced."""
    return {name: (tensor._version, tensor.data_ptr()) for name, tensor in _tensors(module).items()}


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters, buffers, and tensors that are plain attributes of a module, by name."""
    plain = {
        f"{name}.{attribute}": value
        for name, part in module.named_modules()
        for attribute, value in vars(part).items()
        if isinstance(value, torch.Tensor)
    }
    return {**plain, **dict(module.named_parameters()), **dict(module.named_buffers())}


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
