"""How a network's forward passes are run: settings that change the time, and values by rounding only."""

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
"""The modes of ``torch.compile`` that are timed. The second replays a CUDA graph and saves kernel launches.

``max-autotune`` is left out: it times many kernels for every convolution, which can take longer than a run.
"""


def _named(mode: Any) -> Any:
    """Read ``true``, which older run folders have in place of a mode's name, as ``default``."""
    return "default" if mode is True else mode


@dataclass(frozen=True)
class Engine:
    """How one network is run on one machine.

    Attributes:
        layout: order of parameters and inputs in memory.
        batch_size: inputs per forward pass.
        compile: the mode of ``torch.compile`` for whole batches; ``False`` where nothing is compiled.
    """

    layout: LayoutName
    batch_size: Annotated[int, Field(ge=1, le=4096)]
    compile: Annotated[CompileMode, BeforeValidator(_named)] = False

    @classmethod
    def of(cls, facts: Any) -> Engine:
        """Read an engine from plain data, which comes from a file.

        Raises:
            ValueError: the data describes no engine.
        """
        return _ENGINE.validate_python(facts)


_ENGINE = TypeAdapter(Engine)


ENGINES: Mapping[str, Engine] = {"cpu": Engine("channels_last", 16), "cuda": Engine("channels_last", 64)}
"""The engine of a deterministic run, by type of device. It is fixed, for timing may choose differently."""
