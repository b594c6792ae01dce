"""How a network's forward passes are run: the settings that cost or save time and leave values alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

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
    batch_size: int
    compile: bool = False
