"""Measures how many records per second a driver writes durably, with workers that need no time.

    python scripts/driver_speed.py                          64 workers of the local launcher
    python scripts/driver_speed.py --launcher ray           64 workers of the Ray launcher
    python scripts/driver_speed.py --profile                where the driver's time goes

Launcher, dispatcher and store are the real ones. Only the workers are simulated: they take chunks and answer
with records at once. The local launcher's are forks of the driver, because 64 processes that import torch
would take 20 GB; Ray's are threads of a few actors. docs/scaling.md says what the figures mean.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
from scaling import CONFIG, fake_facts, fake_record

from adasise_bench.data.dataset import Annotation, ClassNames
from adasise_bench.data.names import ByName, Names
from adasise_bench.data.voc import VocDataset
from adasise_bench.records import folder as run_folder
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.record import Record
from adasise_bench.records.store import RecordStore
from adasise_bench.run.config_file import load_config
from adasise_bench.run.launchers import Launcher
from adasise_bench.run.launchers.chunks import Chunk
from adasise_bench.run.launchers.dispatcher import Dispatcher
from adasise_bench.run.launchers.events import Event, Ready
from adasise_bench.run.launchers.local import LocalWorkerPool, end_with_driver
from adasise_bench.run.launchers.ray import RayWorkerPool
from adasise_bench.run.launchers.service import Assignment, in_groups
from adasise_bench.run.plan import Plan
from adasise_bench.run.progress import Progress

ACTORS = 2
"""Processes that share Ray's simulated workers."""


class SimulatedService:
    """Answers as :class:`adasise_bench.run.launchers.service.Service` does, without networks."""

    def begin(self, told: Assignment) -> Event:
        """Name an engine."""
        return Ready(fake_facts(told.config), "simulated", os.getpid())

    def make(self, chunk: Chunk) -> Iterator[Event]:
        """Make up a chunk's records."""
        made: Iterator[list[Record]] = (
            [fake_record(key.model, key.method, key.image_id)] for key in chunk.keys
        )
        yield from in_groups(made)  # Ray streams the results of generator functions only


class SimulatedLocalPool(LocalWorkerPool):
    """The local launcher's pool, whose processes are forks of the driver, which has imported everything."""

    def _process(self, connection: Connection) -> BaseProcess:
        return get_context("fork").Process(target=answer, args=(connection,), daemon=True)


class SimulatedRayPool(RayWorkerPool):
    """The Ray launcher's pool, whose workers share a few actors."""

    _shared: dict[int, Any] = {}  # noqa: RUF012 - one pool a process

    def open(self, pictures: int) -> None:
        """Start a cluster of few cores first: Ray would start a process for each of its own accord."""
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # or Ray writes one into the home
        self._ray.init(address="local", include_dashboard=False, num_cpus=ACTORS, log_to_driver=False)
        super().open(pictures)

    def close(self) -> None:
        """End the cluster too."""
        super().close()
        self._ray.shutdown()

    def _hire(self, number: int) -> None:
        place = number % ACTORS
        if place not in self._shared:
            actor = self._ray.remote(num_cpus=0, max_concurrency=len(self.devices))(SimulatedService)
            self._shared[place] = actor.remote()
        self._actors[number] = self._shared[place]


def answer(connection: Connection) -> None:
    """The work of a local worker process."""
    end_with_driver()
    with suppress(EOFError, OSError):
        service = SimulatedService()
        connection.send(service.begin(connection.recv()))
        while True:
            for event in service.make(connection.recv()):
                connection.send(event)


def simulated_plan(records: int, methods: int) -> Plan:
    """A plan of so many records, of pictures with one class that are nowhere."""
    entries = ", ".join(f"{{name: sise, label: method{number}}}" for number in range(methods))
    config = load_config(CONFIG.with_name("table1.yaml"), [f"methods=[{entries}]"], models=["vgg16"])
    names = Names(f"n{number:08}" for number in range(records // methods))
    annotation = Annotation((16, 16), ())
    paths = ByName(names, lambda _name, _place: Path())
    dataset = VocDataset("simulated", ("dog",), paths, paths)
    classes = ClassNames(names, np.ones(len(names), np.int32), [(), ("dog",)])
    return Plan(config, dataset, ByName(names, lambda _name, _place: annotation), classes)


def write_all(plan: Plan, launcher: Launcher, folder: Path) -> tuple[int, int, float, float, float]:
    """Write the records that workers make.

    Returns:
        How many records were written, in how many groups; seconds in all, of the driver's processor, and to
        write.
    """
    digests = ByName(plan.dataset.image_ids, lambda _name, _place: "0" * 64)
    todo = KeySet(plan.keys, np.ones(len(plan.keys), np.bool_))
    written, groups, writing = 0, 0, 0.0
    with launcher:
        launcher.open(plan)
        with run_folder.exclusive(folder):
            launcher.prepare({})
            store = RecordStore(folder, plan.keys)
            clock, processor = time.perf_counter(), time.process_time()
            with Progress(folder, launcher, len(plan.keys), len(todo)) as progress:
                for made in launcher.records(plan, todo, digests):
                    before = time.perf_counter()
                    store.append(made)
                    writing += time.perf_counter() - before
                    progress.update(made)
                    written, groups = written + len(made), groups + 1
            seconds, used = time.perf_counter() - clock, time.process_time() - processor
            store.close()
    return written, groups, seconds, used, writing


@click.command()
@click.option("--launcher", "kind", type=click.Choice(["local", "ray"]), default="local", show_default=True)
@click.option("--workers", default=64, show_default=True)
@click.option("--records", default=100_000, show_default=True)
@click.option("--methods", default=10, show_default=True, help="Records per picture.")
@click.option("--profile", is_flag=True, help="Print where the driver's time goes.")
def main(kind: str, workers: int, records: int, methods: int, profile: bool) -> None:
    """Records per second that a driver writes durably, with workers that answer at once."""
    plan = simulated_plan(records, methods)
    with TemporaryDirectory(prefix="scaling-", dir=Path.cwd()) as temporary:
        folder = Path(temporary) / "run"
        pool = (
            SimulatedLocalPool(plan.config, folder, ["cpu"] * workers)
            if kind == "local"
            else SimulatedRayPool(plan.config, folder, workers)
        )
        profiler = cProfile.Profile(time.process_time)
        if profile:
            profiler.enable()
        written, groups, seconds, used, writing = write_all(plan, Dispatcher(pool), folder)
        if profile:
            profiler.disable()
            pstats.Stats(profiler).sort_stats("tottime").print_stats(35)
    click.echo(
        f"{kind} launcher, {workers} workers: {written / seconds:.0f} records/s written durably, "
        f"{written / groups:.0f} at once; {written / used:.0f} records per second of the driver's processor; "
        f"{writing / seconds:.0%} of the time to write, the rest to hand out and to receive"
    )


if __name__ == "__main__":
    main()
