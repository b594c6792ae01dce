"""What a worker in a process of its own reports to the driver."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adasise_bench.records.record import Record
from adasise_bench.utils.errors import BenchError


@dataclass(frozen=True)
class Ready:
    """The worker has loaded its networks.

    Attributes:
        facts: what its records depend on, see :meth:`adasise_bench.run.worker.Worker.prepare`.
        place: its device and, unless that is obvious, its machine.
        pid: its process.
    """

    facts: dict[str, Any]
    place: str
    pid: int


@dataclass(frozen=True)
class Made:
    """The worker has made records."""

    records: list[Record]


@dataclass(frozen=True)
class Done:
    """The worker has made all records of its chunk.

    Attributes:
        records: those that it has not sent yet.
    """

    records: list[Record] = field(default_factory=list)


@dataclass(frozen=True)
class Failed:
    """The worker cannot continue, and no other worker could."""

    error: BenchError


@dataclass(frozen=True)
class Died:
    """The worker is gone, or has lost its device and must be ended.

    Attributes:
        cause: the reason, in words for users.
    """

    cause: str


Event = Ready | Made | Done | Failed | Died
