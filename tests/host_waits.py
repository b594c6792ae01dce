"""Counts where the host would wait for a GPU, on a machine that has none.

Some tensors are said to be on the device, and with them everything that is computed from them. A dispatch
mode, which sees every operator, counts those that need a value of such a tensor on the host: a scalar that is
read, a mask whose elements must be counted, a copy to or from the host. What is created without operands is
taken to be on the host until it is copied; where it meets a tensor of the device, it was created there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from typing import Any
from unittest import mock

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_WAITING = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "bincount", "histc"}
_INDEXING = {"index", "index_put", "index_put_", "_index_put_impl_"}


class HostWaits(TorchDispatchMode):
    """While it is entered, ``counted`` gathers the waits by kind.

    Args:
        on_device: the tensors that are on the device from the start.
    """

    def __init__(self, on_device: Iterable[torch.Tensor]) -> None:
        super().__init__()
        self.counted: Counter[str] = Counter()
        for tensor in on_device:
            _mark(tensor)

    def __enter__(self) -> HostWaits:
        self._patches = ExitStack()
        for name, method in (("cpu", self._cpu), ("tolist", self._tolist), ("to", self._to)):
            plain = getattr(torch.Tensor, name)
            self._patches.enter_context(mock.patch.object(torch.Tensor, name, method(plain)))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._patches.close()

    def __torch_dispatch__(
        self, func: Any, _types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        operands = list(_tensors([args, *(kwargs or {}).values()]))
        if name in _INDEXING and _on_device(args[0]):
            self._count_indices(*args)
        result = func(*args, **(kwargs or {}))
        if any(map(_on_device, operands)):
            if name in _WAITING:
                self.counted[name] += 1
            for tensor in (*operands, *_tensors([result])):
                _mark(tensor)
        elif not operands:
            for tensor in _tensors([result]):
                tensor.untyped_storage().by_factory = True  # type: ignore[attr-defined]
        return result

    def _count_indices(self, _indexed: Any, indices: Iterable[Any], values: Any = None, *_: Any) -> None:
        """The elements of a mask are counted; a Python list becomes an index on the host, which is copied."""
        fills = values is not None and values.ndim == 0  # where a mask is filled with a number, none counts
        for index in filter(torch.is_tensor, indices):
            if index.dtype == torch.bool and not fills:
                self.counted["mask as an index"] += 1
            elif not _on_device(index) and not hasattr(index.untyped_storage(), "by_factory"):
                self.counted["copy of an index to the device"] += 1

    def _on_host(self, tensor: torch.Tensor) -> torch.Tensor:
        if not _on_device(tensor):
            return tensor
        self.counted["copy to the host"] += 1
        copied = tensor.detach().clone()
        del copied.untyped_storage().on_device  # type: ignore[attr-defined]
        return copied

    def _cpu(self, _plain: Callable[..., Any]) -> Callable[..., Any]:
        return lambda tensor: self._on_host(tensor)

    def _tolist(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        return lambda tensor: plain(self._on_host(tensor))

    def _to(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        def to(tensor: torch.Tensor, target: Any, *args: Any, **kwargs: Any) -> torch.Tensor:
            """A device as an object, or another tensor's, is the device; its name ``cpu`` is the host."""
            if target == "cpu":
                return self._on_host(tensor)
            result: torch.Tensor = plain(tensor, target, *args, **kwargs)
            arrives = _on_device(target) if torch.is_tensor(target) else isinstance(target, torch.device)
            if arrives and not _on_device(tensor):
                self.counted["copy to the device"] += 1
                result = result.clone()
                _mark(result)
            return result

        return to


def _tensors(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from _tensors(value)


def _mark(tensor: torch.Tensor) -> None:
    tensor.untyped_storage().on_device = True  # type: ignore[attr-defined]


def _on_device(tensor: torch.Tensor) -> bool:
    return hasattr(tensor.untyped_storage(), "on_device")
