"""A CUDA graph, played on the CPU: what a call launches is recorded, undone, and repeated on demand.

As with a real graph, a replay runs the recorded operators on the recorded tensors with the recorded
arguments. Whatever a step takes from the host is frozen, and results land where those of the recorded
call did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class Recorder(TorchDispatchMode):
    """Records the operators in its body; what they changed is changed back at its end."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[tuple[Any, Any, Any, list[torch.Tensor]]] = []
        self._before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self._made: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for argument, value in zip(func._schema.arguments, args, strict=False):
            written = argument.alias_info is not None and argument.alias_info.is_write
            if written and value.untyped_storage().data_ptr() not in self._made:
                self._before.setdefault(id(value), (value, value.clone()))
        result = func(*args, **kwargs)
        views = any(returned.alias_info is not None for returned in func._schema.returns)
        several = result if isinstance(result, (tuple, list)) else [result]
        fresh = [] if views else [one for one in several if isinstance(one, torch.Tensor)]
        self._made |= {one.untyped_storage().data_ptr() for one in fresh}
        self._calls.append((func, args, kwargs, fresh))
        return result

    def __exit__(self, *exception: Any) -> None:
        super().__exit__(*exception)
        for value, before in self._before.values():
            value.copy_(before)

    def replay(self) -> None:
        with torch.no_grad():
            for func, args, kwargs, fresh in self._calls:
                result = func(*args, **kwargs)
                several = result if isinstance(result, (tuple, list)) else [result]
                for old, new in zip(fresh, (one for one in several if isinstance(one, torch.Tensor))):  # noqa: B905
                    old.copy_(new)


def capture(steps: Sequence[Callable[[], None]], _device: torch.device) -> list[Callable[[], None]]:
    """As :func:`adasise_bench.models.replay.capture`."""
    replays = []
    for step in steps:
        with Recorder() as graph:
            step()
        replays.append(graph.replay)
    return replays
