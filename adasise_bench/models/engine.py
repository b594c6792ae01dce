"""How a network's forward passes are run: settings that change the time, and values by rounding only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, TypeAdapter

LayoutName = Literal["contiguous", "channels_last"]
BackendName = Literal["torch", "openvino", "torch-compile", "torch-compile-graphs"]
BackendChoice = Literal["auto", "torch", "openvino", "torch-compile"]

LAYOUTS: dict[LayoutName, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}

_COMPILED: Mapping[object, BackendName] = {
    False: "torch",
    True: "torch-compile",
    "default": "torch-compile",
    "reduce-overhead": "torch-compile-graphs",
}


def _renamed(facts: Any) -> Any:
    """Run folders from before there were backends say under ``compile`` how ``torch.compile`` was used."""
    if not isinstance(facts, dict) or "compile" not in facts or "backend" in facts:
        return facts
    others = {name: value for name, value in facts.items() if name != "compile"}
    mode = facts["compile"]
    return others | {"backend": _COMPILED.get(mode) if isinstance(mode, bool | str) else None}


@dataclass(frozen=True)
class Engine:
    """How one network is run on one machine.

    Attributes:
        layout: order of parameters and inputs in memory.
        batch_size: inputs per forward pass.
        backend: what passes whole batches through the network.
    """

    layout: LayoutName
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    backend: BackendName = "torch"

    @property
    def compiles(self) -> bool:
        """Whether ``torch.compile`` is wanted."""
        return self.backend.startswith("torch-compile")

    @classmethod
    def of(cls, facts: Any) -> Engine:
        """Read an engine from plain data, which comes from a file.

        Raises:
            ValueError: the data describes no engine.
        """
        return _ENGINE.validate_python(facts)


_ENGINE: TypeAdapter[Engine] = TypeAdapter(Annotated[Engine, BeforeValidator(_renamed)])


ENGINES: Mapping[str, Engine] = {"cpu": Engine("channels_last", 16), "cuda": Engine("channels_last", 64)}
"""The engine of a deterministic run, by type of device. It is fixed, for timing may choose differently."""
