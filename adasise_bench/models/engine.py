"""How a network's forward passes are run: the settings that cost or save time and leave values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, TypeAdapter

LayoutName = Literal["contiguous", "channels_last"]

LAYOUTS: dict[LayoutName, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}


@dataclass(frozen=True)
class Engine:
    """Settings of one network on one machine.

    Attributes:
        layout: order of parameters and inputs in memory.
        batch_size: inputs per forward pass.
        compile: whether whole batches pass through ``torch.compile``.
    """

    layout: LayoutName
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    compile: bool = False

    @classmethod
    def of(cls, facts: Any) -> Engine:
        """The engine in plain data that was read from a file.

        Raises:
            ValueError: it is none.
        """
        return _ENGINE.validate_python(facts)


_ENGINE = TypeAdapter(Engine)
