"""Runs one worker process for each device of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

import torch
from tqdm import tqdm

from adasise_bench.models.engine import Engine
from adasise_bench.run.config import RunConfig
from adasise_bench.run.launchers.chunks import Chunk
from adasise_bench.run.launchers.events import Died, Event
from adasise_bench.run.launchers.service import Assignment, Service
from adasise_bench.utils.streams import open_closed_streams

_PATIENCE = 5.0


class LocalWorkerPool:
    """A pool of processes that send events through pipes.

    Args:
        config: the run.
        folder: the run folder.
        devices: one worker each; ``cpu`` may come several times.
    """

    def __init__(self, config: RunConfig, folder: Path, devices: Sequence[str]) -> None:
        self.devices = devices
        self._config, self._folder = config, folder.absolute()
        self._pictures: int | None = None
        self._context = get_context("spawn")
        self._workers: dict[int, tuple[BaseProcess, Connection]] = {}

    def open(self, pictures: int) -> None:
        """Start all processes, which import modules for some seconds."""
        open_closed_streams()
        self._pictures = pictures
        for number in range(len(self.devices)):
            self._spawn(number)

    def _spawn(self, number: int) -> None:
        """Start a process; interrupts from the terminal reach only the driver."""
        ours, theirs = self._context.Pipe()
        process = self._process(theirs)
        with _interrupts_ignored():
            process.start()
        theirs.close()
        self._workers[number] = process, ours

    def _process(self, connection: Connection) -> BaseProcess:
        """A process that is not started yet; scripts/driver_speed.py puts simulated workers here."""
        return self._context.Process(target=_work, args=(connection,), daemon=True)

    def start(self, number: int, engines: Mapping[str, Engine]) -> None:
        """Send a process its assignment."""
        if number not in self._workers:
            self._spawn(number)
        threads, device = torch.get_num_threads(), self.devices[number]
        told = Assignment(
            number, self._config, self._folder, Path.cwd(), device, threads, dict(engines), self._pictures
        )
        self._send(number, told)

    def give(self, number: int, chunk: Chunk) -> None:
        """Send a chunk."""
        self._send(number, chunk)

    def _send(self, number: int, message: Assignment | Chunk) -> None:
        """Send to a worker; if it has died, its next event says so."""
        with suppress(OSError):
            self._workers[number][1].send(message)

    def events(self) -> Iterator[tuple[int, Event]]:
        """Wait for an event, and return one of every worker that has any."""
        talking = wait([connection for _, connection in self._workers.values()])
        for number, (process, connection) in list(self._workers.items()):
            if connection not in talking:
                continue
            try:
                event = connection.recv()
            except (EOFError, OSError):
                process.join()
                event = Died(_cause(process.exitcode))
            if isinstance(event, Died):
                process.kill()
                process.join()
                connection.close()
                del self._workers[number]
            yield number, event

    def close(self) -> None:
        """End all processes."""
        for process, _ in self._workers.values():
            process.terminate()
        for process, connection in self._workers.values():
            process.join(_PATIENCE)
            process.kill()
            process.join()
            connection.close()
        self._workers.clear()


def _work(connection: Connection) -> None:
    """The work of a worker process, until its driver is gone."""
    end_with_driver()
    tqdm.set_lock(threading.RLock())  # its own is a semaphore, which Python reports if a process is ended
    with suppress(EOFError, OSError):
        service = Service(connection.recv())
        connection.send(service.begin())
        while True:
            for event in service.make(connection.recv()):
                connection.send(event)


def end_with_driver() -> None:
    """From now on, end this process when its driver ends."""
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """Processes that the body starts ignore interrupts, now and later."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cause(exit_code: int | None) -> str:
    if exit_code is None or exit_code >= 0:
        return f"ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
