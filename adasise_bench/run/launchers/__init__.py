"""Launchers run the workers of a run: in this process, in processes of this machine, or on a Ray cluster.

A launcher returns the records of its workers; it neither plans nor writes records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

from adasise_bench.models.engine import Engine
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.record import Record
from adasise_bench.run.plan import Plan


class Launcher(Protocol):
    """The workers of a run; entered before the run folder is touched, and left when the run ends."""

    def __enter__(self) -> Launcher:
        """Do nothing yet."""

    def open(self, plan: Plan) -> None:
        """Prepare everything that needs no run folder.

        Args:
            plan: the run.

        Raises:
            BenchError: nothing can be explained with these settings.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all workers."""

    def prepare(self, engines: Mapping[str, Engine]) -> dict[str, Any]:
        """Let one worker choose for all how networks are run, and return what the records depend on.

        Raises:
            BenchError: the worker cannot work.
        """

    def records(self, plan: Plan, todo: KeySet, digests: Mapping[str, str]) -> Iterator[list[Record]]:
        """The records in ``todo``, in the order in which they are made.

        Args:
            plan: the run.
            todo: the wanted keys.
            digests: SHA-256 of every picture with its annotation; workers elsewhere must see the same
                pictures.

        Raises:
            BenchError: a worker cannot go on, and neither could another in its place.
        """

    def workers(self) -> list[dict[str, Any]]:
        """For users: each worker's ``number``, ``place``, ``state``, ``pid`` and records ``made``."""
