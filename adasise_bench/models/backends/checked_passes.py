"""Passes through a network by a backend, or by torch where the backend cannot or may not."""

from __future__ import annotations

import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable
from typing import ClassVar, Generic, TypeVar

import torch
from tqdm import tqdm

from adasise_bench.models.backends.base import Backend
from adasise_bench.models.backends.probe import DeviationError
from adasise_bench.models.backends.torch import Torch
from adasise_bench.models.batching import is_out_of_memory
from adasise_bench.utils.errors import text_of
from adasise_bench.utils.messages import printable
from adasise_bench.utils.precision import PrecisionName

_MOST_PREPARED = 4
"""Each shape takes up to minutes to prepare, and memory of its own."""

_LONGEST_REASON = 200

_UNCONVERTED = re.compile(r"(No conversion rule found for operations|Conversion is failed for): .*")
"""What OpenVINO cannot convert is in one of the last lines of its message."""

_Pass = TypeVar("_Pass", bound=Callable[..., torch.Tensor])

Prepare = Callable[[Backend, PrecisionName], _Pass]
"""Asks a backend for a pass in a precision."""


class CheckedPasses(ABC, Generic[_Pass]):
    """A backend's passes, prepared anew for each of the first few shapes of inputs, none beforehand.

    Each is held against torch before it is used. Inputs of further shapes pass through torch, and so does
    everything after the backend has failed or deviated; either is said once, in one line on stderr.

    A backend that is prepared in seconds is first prepared in fp32, where it must agree with torch. That
    forward pass is kept, because samples of the masks, and some masks, are scored in fp32 as well. Any other
    backend is prepared once, in the precision of the run, where it may deviate from torch's fp32 little more
    than torch does in that precision; passes of other precisions are left to torch.

    Args:
        backend: what prepares the passes.
        reference: torch's way through the same network.
        precision: arithmetic of the run.
        where: how messages name the network.

    Attributes:
        failed: whether the backend failed, so that it is not asked any more.
    """

    _cannot: ClassVar[str]
    """What a message says that the backend cannot do."""

    _exact_too: ClassVar[bool] = True
    """Whether passes in fp32 are asked for in runs of another precision as well."""

    def __init__(self, backend: Backend, reference: Torch, precision: PrecisionName, where: str) -> None:
        self.failed = False
        self._backend, self._reference, self._precision = backend, reference, precision
        self._where = f"{where}: {backend.name}"
        self._prepared: dict[tuple[Hashable, PrecisionName], _Pass] = {}
        self._refused = False

    def release(self) -> None:
        """Give back the memory of what was prepared; every shape is prepared anew when it comes again."""
        self._prepared.clear()
        self._backend.release()

    @abstractmethod
    def _refuse(self, found: _Pass, by_torch: _Pass, rounded: _Pass | None, *arguments: torch.Tensor) -> None:
        """Hold a pass of the backend against torch's.

        Args:
            found: the backend's.
            by_torch: torch's in fp32.
            rounded: torch's in the precision of ``found``, where this is not fp32.
            arguments: of the shape and memory layout that the passes were prepared for.

        Raises:
            DeviationError: it computes something else.
        """

    def _passed(
        self, kind: Hashable, precision: PrecisionName, prepare: Prepare[_Pass], *arguments: torch.Tensor
    ) -> torch.Tensor:
        """The result of a pass, in memory of its own.

        Args:
            kind: what a pass is prepared for, beside its precision: shapes, memory layouts and the like.
            precision: arithmetic of the pass.
            prepare: asks a backend for the pass.
            arguments: of the pass.

        Raises:
            RuntimeError: memory ran out, or the network itself fails.
        """
        if self._admits(kind, precision):
            try:
                return self._pass(kind, precision, prepare, *arguments)(*arguments)
            except Exception as error:  # foreign code can fail in any way, and torch runs without it
                if isinstance(error, RuntimeError) and is_out_of_memory(error):
                    raise
                reason = _reason_of(error)
            self.failed = True
            self.release()
            _say(f"{self._where} cannot {self._cannot}: {reason}; torch does instead")
        return prepare(self._reference, precision)(*arguments)

    def _admits(self, kind: Hashable, precision: PrecisionName) -> bool:
        """Whether there is a pass for such inputs, or still can be."""
        if self.failed or not (self._backend.quick or precision == self._precision):
            return False
        kinds = {known for known, _ in self._prepared}
        if kind in kinds or len(kinds) < _MOST_PREPARED:
            return True
        if not self._refused:
            self._refused = True
            _say(
                f"{self._where} is prepared for {_MOST_PREPARED} shapes of inputs; "
                "torch runs the others (data.resize=stretch gives all pictures one shape)"
            )
        return False

    def _pass(
        self, kind: Hashable, precision: PrecisionName, prepare: Prepare[_Pass], *arguments: torch.Tensor
    ) -> _Pass:
        """The pass for such inputs, which agrees with torch.

        Raises:
            DeviationError: it does not.
            Exception: of any kind, where it cannot be prepared.
        """
        if (kind, precision) not in self._prepared:
            checked: PrecisionName = "fp32" if self._backend.quick else precision
            if (kind, checked) not in self._prepared:
                found = prepare(self._backend, checked)
                rounded = None if checked == "fp32" else prepare(self._reference, checked)
                self._refuse(found, prepare(self._reference, "fp32"), rounded, *arguments)
                if self._exact_too or checked == precision:
                    self._prepared[kind, checked] = found
            if checked != precision:
                self._prepared[kind, precision] = prepare(self._backend, precision)
        return self._prepared[kind, precision]


def _reason_of(error: Exception) -> str:
    """What went wrong, in one line; a deviation needs no name of its own."""
    told = text_of(error)
    unconverted = _UNCONVERTED.search(told)
    line = unconverted[0] if unconverted else next(iter(told.strip().splitlines()), "")
    named = line if isinstance(error, DeviationError) else f"{type(error).__name__}: {line}"
    return printable(named)[:_LONGEST_REASON]


def _say(line: str) -> None:
    """Print one line on stderr, above a progress bar."""
    tqdm.write(line, file=sys.stderr)
