"""Gives chunks to workers in other processes; if a worker dies, another one gets its chunk."""

from __future__ import annotations

import sys
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from tqdm import tqdm

from adasise_bench.models.engine import Engine
from adasise_bench.records import environment
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.record import Key, Record
from adasise_bench.run.launchers.chunks import Chunk, chunks_of, pictures_at_once
from adasise_bench.run.launchers.events import Died, Done, Event, Failed, Made, Ready
from adasise_bench.run.plan import Plan
from adasise_bench.utils.errors import BenchError, DeviceError
from adasise_bench.utils.quantities import counted

ATTEMPTS = 3
"""How many workers may die over the same work, or in one place before they could work."""

_MAY_DIFFER = {"driver"}


class WorkerPool(Protocol):
    """Workers in other processes, numbered from 0.

    Attributes:
        devices: of the workers, by number.
    """

    devices: Sequence[str]

    def open(self, pictures: int) -> None:
        """Prepare everything that needs no run folder.

        Args:
            pictures: number of pictures of the run.
        """

    def start(self, number: int, engines: Mapping[str, Engine]) -> None:
        """Start a worker, or another in place of one that died; its event ``Ready`` follows."""

    def give(self, number: int, chunk: Chunk) -> None:
        """Give a chunk to an idle worker."""

    def events(self) -> Iterable[tuple[int, Event]]:
        """Wait until something has happened, and return the events with the numbers of their workers."""

    def close(self) -> None:
        """Stop all workers at once."""


class Dispatcher:
    """The launcher that uses a pool of workers.

    Args:
        pool: the workers.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._facts: dict[str, Any] = {}
        self._engines: Mapping[str, Engine] = {}
        self._ready: dict[int, Ready] = {}
        self._busy: dict[int, Chunk] = {}
        self._waiting: deque[Chunk] = deque()
        self._deaths: Counter[int] = Counter()
        self._made: Counter[int] = Counter()
        self._started: set[int] = set()
        self._failure: BenchError | None = None

    def __enter__(self) -> Dispatcher:
        """Do nothing yet."""
        return self

    def open(self, plan: Plan) -> None:
        """Open the pool; its workers open the data themselves."""
        self._pool.open(len(plan.annotations))

    def __exit__(self, *_exception: object) -> None:
        """Stop all workers."""
        self._pool.close()

    def prepare(self, engines: Mapping[str, Engine]) -> dict[str, Any]:
        """Let the first worker choose how networks are run."""
        self._engines = engines
        self._start(0)
        while not self._facts:
            self._events()
            self._raise_failure()
        return self._facts | {"devices": list(self._pool.devices)}

    def records(self, plan: Plan, todo: KeySet, digests: Mapping[str, str]) -> Iterator[list[Record]]:
        """The records in ``todo`` as they arrive; records that arrive together are returned together."""
        workers = min(len(self._pool.devices), len(todo))
        for number in range(1, workers):
            self._start(number)
        pictures = pictures_at_once(plan.config, self._engines, len(plan.annotations), max(1, workers))
        chunks = chunks_of(plan, todo, digests, pictures)
        while self._give(chunks):
            if records := self._events():
                yield records
            self._raise_failure()

    def workers(self) -> list[dict[str, Any]]:
        """All workers, also those that have not started yet."""
        return [
            {
                "number": number,
                "place": self._ready[number].place if number in self._ready else device,
                "state": self._state(number),
                "pid": self._ready[number].pid if number in self._ready else None,
                "made": self._made[number],
            }
            for number, device in enumerate(self._pool.devices)
        ]

    def _state(self, number: int) -> str:
        if number in self._ready:
            return "busy" if number in self._busy else "idle"
        return "given up" if self._deaths[number] == ATTEMPTS else "starting"

    def _start(self, number: int) -> None:
        self._started.add(number)
        self._pool.start(number, self._engines)

    def _give(self, chunks: Iterator[Chunk]) -> bool:
        """Give idle workers chunks; false if nothing is left to do or to wait for."""
        idle = [number for number in self._ready if number not in self._busy]
        while True:
            if not self._waiting:
                self._waiting.extend(islice(chunks, 1))
            if not self._waiting or not idle:
                return bool(self._waiting or self._busy)
            number = idle.pop()
            self._busy[number] = self._waiting.popleft()
            self._pool.give(number, self._busy[number])

    def _events(self) -> list[Record]:
        records: list[Record] = []
        for number, event in self._pool.events():
            match event:
                case Ready():
                    self._welcome(number, event)
                case Made(made):
                    records += self._received(number, made)
                case Done(made):
                    records += self._received(number, made)
                    self._count(number, self._busy.pop(number))
                case Failed(error):
                    self._failure = error
                case Died(cause):
                    records += self._replace(number, cause)
        return records

    def _received(self, number: int, made: list[Record]) -> list[Record]:
        """Note that a worker need not make these records any more."""
        self._busy[number] = self._busy[number].without(made)
        self._made[number] += len(made)
        return made

    def _count(self, number: int, chunk: Chunk) -> None:
        """Fail if a chunk that is done lacks a record, which would never be made."""
        if chunk.keys:
            self._failure = BenchError(
                f"worker {number} left out {counted(len(chunk.keys), 'record')}, {_example(chunk.keys)}; "
                "give the same command again to make them"
            )

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _welcome(self, number: int, ready: Ready) -> None:
        """Remember the worker, and fail if it differs from the first in what values depend on."""
        self._ready[number] = ready
        self._deaths[number] = 0
        if not self._facts:
            self._facts = ready.facts
            models = ready.facts["models"]
            self._engines = {name: Engine.of(model["engine"]) for name, model in models.items()}
        differences = environment.differences(_alike(self._facts), _alike(ready.facts))
        if differences:
            self._failure = DeviceError(
                f"worker {number} ({ready.place}) differs from the first: {'; '.join(differences[:4])}; "
                "a run needs workers of one kind: name their devices with --devices"
            )

    def _replace(self, number: int, cause: str) -> list[Record]:
        """Start another worker for a dead one; its chunk is tried again, or finally fails.

        A worker that dies again and again before it can work is given up, because its device may be broken.
        The others continue without it, and the run fails if none is left.
        """
        chunk = self._busy.pop(number, None)
        if self._ready.pop(number, None) is None:
            self._deaths[number] += 1
        if self._deaths[number] == ATTEMPTS:
            self._give_up(number, cause)
            return []
        tqdm.write(f"worker {number} {cause}; another takes its place", file=sys.stderr)
        self._start(number)
        if chunk is None:
            return []
        if chunk.attempt < ATTEMPTS:
            self._waiting.extend(chunk.picture_by_picture())
            return []
        return [self._lost(key, cause) for key in chunk.keys]

    def _give_up(self, number: int, cause: str) -> None:
        self._started.remove(number)
        device = self._pool.devices[number]
        problem = f"worker {number} on {device} {cause}, {ATTEMPTS} times before it could work"
        if self._started:
            tqdm.write(f"{problem}; the run continues without it", file=sys.stderr)
        else:
            self._failure = BenchError(f"{problem}; its log may say why; --devices can leave out its device")

    def _lost(self, key: Key, cause: str) -> Record:
        weights = self._facts["models"][key.model]
        return Record(
            *key,
            error=f"the worker {cause}, {ATTEMPTS} times over this picture",
            published_model=weights["published"],
            weights=weights["weights_sha256"][:12],
        )


def _example(keys: Iterable[Key]) -> str:
    return "for example " + " ".join(str(part) for part in min(keys, key=str))


def _alike(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name not in _MAY_DIFFER}
