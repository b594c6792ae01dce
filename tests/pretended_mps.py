"""A device that computes on the CPU, and refuses what Apple's GPU cannot do.

Tensors of the device are wrappers around tensors of the CPU. Every operation on them runs below autograd in
:class:`PretendedMps`, which raises, as torch does on MPS, if one operand lives elsewhere or the result is
float64. The device is called ``meta``, because autograd takes no device that this build of torch lacks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map

DEVICE = torch.device("meta")

_DTYPE_ERROR = "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."


class OnMps(torch.Tensor):
    """A tensor of the pretended device."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnMps:
        if held.dtype == torch.float64:
            raise TypeError(_DTYPE_ERROR)
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=DEVICE,
        )  # fmt: skip
        made.held = held
        return made  # type: ignore[no-any-return]

    def tolist(self) -> Any:
        """As of any tensor; torch has none for subclasses."""
        return self.held.tolist()

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with PretendedMps():
            return func(*args, **(kwargs or {}))


class PretendedMps(TorchDispatchMode):
    """Runs what belongs to the pretended device on the CPU, and everything else as it is."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        operands: list[torch.Tensor] = []
        tree_map(lambda one: operands.append(one) if isinstance(one, torch.Tensor) else None, (args, kwargs))
        here = any(isinstance(one, OnMps) for one in operands)
        target = kwargs.get("device")
        moves = target is not None or func in (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)
        if not here and (target is None or torch.device(target).type != DEVICE.type):
            return func(*args, **kwargs)
        if here and not moves:
            _refuse_other_devices(func, operands)
        goes_to_mps = torch.device(target).type == DEVICE.type if target is not None else here
        if target is not None:
            kwargs["device"] = torch.device("cpu")
        if func is torch.ops.aten.copy_.default and not isinstance(args[0], OnMps):
            goes_to_mps = False
        found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        if func._schema.name.endswith("_") and isinstance(args[0], torch.Tensor):
            return args[0]
        return tree_map(_wrapped, found) if goes_to_mps else found


def _held(one: Any) -> Any:
    return one.held if isinstance(one, OnMps) else one


def _wrapped(one: Any) -> Any:
    return OnMps(one) if isinstance(one, torch.Tensor) else one


def _refuse_other_devices(func: Any, operands: list[torch.Tensor]) -> None:
    for one in operands:
        if not isinstance(one, OnMps) and one.ndim:
            raise RuntimeError(
                f"{func}: Expected all tensors to be on the same device, but found two devices"
            )
