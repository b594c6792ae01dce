"""How a network's forward passes are run: the settings that cost or save time and leave values alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from pydantic import BeforeValidator, Field, TypeAdapter

LayoutName = Literal["contiguous", "channels_last"]
CompileChoice = Literal["auto", True, False]
CompileMode = Literal[False, "default", "reduce-overhead"]

LAYOUTS: dict[LayoutName, torch.memory_format] = {
    "contiguous": torch.contiguous_format,
    "channels_last": torch.channels_last,
}

CPU_MODES: tuple[CompileMode, ...] = ("default",)
GPU_MODES: tuple[CompileMode, ...] = ("default", "reduce-overhead")
"""Ways of compiling worth measuring; the second replays a CUDA graph and saves the kernels' launches.

``max-autotune`` is left out: it times many kernels for every convolution, which can take longer than a run.
"""


def _named(mode: Any) -> Any:
    """Run folders from before the modes had names say ``true``, which meant ``default`` on a CPU."""
    return "default" if mode is True else mode


@dataclass(frozen=True)
class Engine:
    """Settings of one network on one machine.

    Attributes:
        layout: order of parameters and inputs in memory.
        batch_size: inputs per forward pass.
        compile: the mode of ``torch.compile`` for whole batches; ``False`` where they are not compiled.
    """

    layout: LayoutName
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    compile: Annotated[CompileMode, BeforeValidator(_named)] = False

    @classmethod
    def of(cls, facts: Any) -> Engine:
        """The engine in plain data that was read from a file.

        Raises:
            ValueError: it is none.
        """
        return _ENGINE.validate_python(facts)


_ENGINE = TypeAdapter(Engine)


ENGINES: Mapping[str, Engine] = {"cpu": Engine("channels_last", 16), "cuda": Engine("channels_last", 64)}
"""How a deterministic run passes inputs through a network, by type of device; nothing is measured."""
