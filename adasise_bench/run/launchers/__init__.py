"""Where the workers of a run live: this process, processes of this machine, a Ray cluster.

A launcher runs workers and brings their records home; it neither plans nor writes records.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any, Protocol

from adasise_bench.data import Dataset
from adasise_bench.models.engine import Engine
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.record import Record
from adasise_bench.run.plan import Plan


class Launcher(Protocol):
    """Workers behind one door; entered before the run folder is touched, left when the run ends."""

    def __enter__(self) -> Launcher:
        """Nothing yet."""

    def open(self, dataset: Dataset) -> None:
        """Make ready whatever needs no run folder.

        Args:
            dataset: the run's pictures.

        Raises:
            BenchError: nothing can be explained like that.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop all workers."""

    def prepare(self, engines: Mapping[str, Engine]) -> dict[str, Any]:
        """Let one worker choose how networks are run, for all, and say what it runs on.

        Raises:
            BenchError: it cannot work.
        """

    def records(self, plan: Plan, todo: KeySet, digests: Mapping[str, str]) -> Iterator[list[Record]]:
        """The records in ``todo``, in the order in which they are made.

        Args:
            plan: the run.
            todo: the wanted keys.
            digests: SHA-256 of every picture with its annotation; workers elsewhere must see the same.

        Raises:
            BenchError: a worker cannot go on, and neither could another in its place.
        """

    def workers(self) -> list[dict[str, Any]]:
        """For people: each worker's ``number``, ``place``, ``state``, ``pid`` and records ``made``."""
