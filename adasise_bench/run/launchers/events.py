"""What a worker in a process of its own reports to the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adasise_bench.records.record import Record
from adasise_bench.utils.errors import BenchError


@dataclass(frozen=True)
class Ready:
    """It has loaded its networks.

    Attributes:
        facts: what it runs on, see :meth:`adasise_bench.run.worker.Worker.prepare`.
        place: its device, and where that is not plain, its machine.
        pid: its process.
    """

    facts: dict[str, Any]
    place: str
    pid: int


@dataclass(frozen=True)
class Made:
    """It has made records."""

    records: list[Record]


@dataclass(frozen=True)
class Done:
    """It has made all of its chunk."""


@dataclass(frozen=True)
class Failed:
    """It cannot go on, and neither could another."""

    error: BenchError


@dataclass(frozen=True)
class Died:
    """It is gone, or has lost its device and must be ended.

    Attributes:
        cause: for people.
    """

    cause: str


Event = Ready | Made | Done | Failed | Died
