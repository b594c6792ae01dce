"""A network that torch compiles for whole batches. Where compiling fails, the network itself runs."""

from __future__ import annotations

import sys
from typing import Literal

import torch
from torch import nn
from tqdm import tqdm

from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.utils.messages import printable

_MOST_SHAPES = 4
"""The most shapes. Each takes up to minutes to compile, and memory of its own where CUDA graphs are used."""

_RECOMPILE_LIMIT = 64
"""torch's limit of 8 holds for all networks of a process together, and would soon be reached."""

_FIRST_CALLS = {"default": 1, "reduce-overhead": 3}
"""Calls before a shape runs at full speed. The first compiles; a CUDA graph is then recorded and replayed."""

_LONGEST_REASON = 200


class CompiledForward:
    """A module that is compiled for each of the first few shapes of its inputs, when the shape first comes.

    Inputs of further shapes pass through the module itself. After the compiler has failed, all inputs do.
    Each of these two cases is reported once, by one line on stderr.

    Args:
        module: the network in evaluation mode.
        mode: the mode of ``torch.compile``.

    Attributes:
        failed: whether the compiler has failed, so that nothing is compiled any more.
    """

    def __init__(self, module: nn.Module, mode: Literal["default", "reduce-overhead"]) -> None:
        self.failed = False
        self._module, self._mode = module, mode
        self._compiled = torch.compile(module, mode=mode, dynamic=False)
        self._shapes: set[torch.Size] = set()
        self._refused = False

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Raw outputs of the module. No later call writes into their memory.

        Args:
            inputs: (N, 3, H, W) network inputs.

        Raises:
            RuntimeError: memory ran out, or the module itself fails.
        """
        if self._admits(inputs.shape):
            try:
                return self._passed(inputs)
            except Exception as error:  # a compiler can fail in any way, and the network can run without it
                if isinstance(error, RuntimeError) and is_out_of_memory(error):
                    raise
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
            self.failed = True
            self.release()
            _say(f"torch.compile failed ({printable(reason)[:_LONGEST_REASON]}); the network runs without it")
        outputs: torch.Tensor = self._module(inputs)
        return outputs

    def release(self) -> None:
        """Free the memory of what was compiled. A shape that comes again is compiled again.

        torch can only forget everything that the process has compiled, including other networks.
        """
        self._shapes.clear()
        torch.compiler.reset()

    def _admits(self, shape: torch.Size) -> bool:
        """Whether inputs of this shape are compiled, or still can be."""
        if self.failed or shape in self._shapes:
            return not self.failed
        if len(self._shapes) < _MOST_SHAPES:
            return True
        if not self._refused:
            self._refused = True
            _say(
                f"engine.compile: compiled for {_MOST_SHAPES} shapes of inputs; the network runs without it "
                "on others (data.resize=stretch gives all pictures one shape)"
            )
        return False

    def _passed(self, inputs: torch.Tensor) -> torch.Tensor:
        if inputs.shape not in self._shapes:
            self._prepare(inputs)
        outputs: torch.Tensor = self._compiled(inputs)
        # A CUDA graph writes into the same memory each time, and would overwrite what the caller has kept.
        return outputs if self._mode == "default" else outputs.clone()

    def _prepare(self, inputs: torch.Tensor) -> None:
        """Compile for the shape of ``inputs``, so that later calls take their usual time.

        Raises:
            Exception: of any kind, where the compiler fails. At its limit torch would run the module itself
                without telling, and is therefore told to fail.
        """
        from torch._dynamo import config

        with config.patch(recompile_limit=_RECOMPILE_LIMIT, fail_on_recompile_limit_hit=True):
            for _ in range(_FIRST_CALLS[self._mode]):
                self._compiled(inputs)
        self._shapes.add(inputs.shape)


def _say(line: str) -> None:
    tqdm.write(line, file=sys.stderr)
