"""Runs workers on the machines of a Ray cluster, one for each GPU or for several cores."""

from __future__ import annotations

import logging
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from adasise_bench.models.engine import Engine
from adasise_bench.run.config import RunConfig
from adasise_bench.run.launchers.chunks import Chunk
from adasise_bench.run.launchers.events import Died, Done, Event, Failed
from adasise_bench.run.launchers.service import Assignment, Service
from adasise_bench.utils.errors import ConfigError, DeviceError

_QUIET = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TQDM_PATCH_PRINT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Settings that keep Ray from warning, printing and reporting its use, unless the user has set them."""

_SILENT: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}

_MODE, _TOKEN, _TOKEN_PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"

_GLANCE = 1.0


class RayWorkerPool:
    """A pool of Ray actors, which send records as they are made.

    An actor that dies, or whose machine does, is replaced by a new one wherever there is room. Ray's own
    restarts are not used, so that work is given out again by the same rules as on one machine.

    Args:
        config: the run.
        folder: the run folder, which all machines must see.
        workers: number of workers; by default, one per GPU of the cluster, or as many as its cores suffice
            for.

    Raises:
        ConfigError: Ray is not installed, or the configuration names one GPU.
    """

    def __init__(self, config: RunConfig, folder: Path, workers: int | None) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        try:
            import ray
        except ImportError:
            raise ConfigError(
                "--launcher ray: Ray is not installed; pip install 'adasise-bench[ray]'"
            ) from None
        if config.device.startswith("cuda:"):
            raise ConfigError(f"--device {config.device}: Ray chooses the GPUs; use cuda or cpu")
        if config.device == "mps":
            raise ConfigError("--device mps: Ray does not hand out Apple's GPU; leave out --launcher ray")
        self.devices: Sequence[str] = ()
        self._ray: Any = ray
        self._config, self._folder, self._wanted = config, folder.absolute(), workers
        self._threads = torch.get_num_threads()
        self._pictures: int | None = None
        self._is_own_cluster = False
        self._actors: dict[int, Any] = {}
        self._pending: dict[Any, int] = {}

    def open(self, pictures: int) -> None:
        """Join the cluster at ``RAY_ADDRESS``, or start one on this machine.

        Raises:
            ConfigError: there is no cluster at that address.
            DeviceError: the cluster has no GPU, or too few cores.
        """
        self._pictures = pictures
        if not self._ray.is_initialized():
            self._join(os.environ.get("RAY_ADDRESS"))
        resources = self._ray.cluster_resources()
        gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
        on_gpus = self._config.device == "cuda" or (self._config.device == "auto" and gpus > 0)
        room = gpus if on_gpus else cores // self._threads
        if room == 0:
            lacking = "no GPU" if on_gpus else f"{cores} cores, and a worker has {self._threads} threads"
            raise DeviceError(f"--launcher ray: the cluster has {lacking}; see --device and OMP_NUM_THREADS")
        self.devices = ["cuda" if on_gpus else "cpu"] * (self._wanted or room)
        for number in range(len(self.devices)):
            self._hire(number)

    def _join(self, address: str | None) -> None:
        self._is_own_cluster = address is None
        if address is None:
            self._start_own_cluster()
        else:
            self._connect(address)

    def _start_own_cluster(self) -> None:
        """Start a cluster on this machine, with a token that only its own processes know.

        Without ``RAY_AUTH_TOKEN``, Ray would write a token into the user's home, and from then on every
        cluster that ``ray start --head`` starts there would demand it.
        """
        if not os.environ.keys() & {_TOKEN, _TOKEN_PATH}:
            os.environ[_TOKEN] = secrets.token_hex(32)
        cores = max(os.cpu_count() or 1, (self._wanted or 1) * self._threads)
        try:
            self._ray.init(address="local", include_dashboard=False, num_cpus=cores, **_SILENT)
        except Exception as error:  # a busy machine that is too slow gets a bare Exception
            raise ConfigError(
                f"--launcher ray: no cluster can be started here: {_first_line(error)}"
            ) from None

    def _connect(self, address: str) -> None:
        """Join the cluster at ``RAY_ADDRESS``, with a token if it demands one and the user has one.

        A cluster demands a token if there was one in the home of the user who started it. Ray does not say so
        beforehand, and uses no token by itself if it is given an address.
        """
        with_token = [False, True] if _MODE not in os.environ and _has_token() else [False]
        for use_token in with_token:
            if use_token:
                self._use_token()
            try:
                self._ray.init(address=address, **_SILENT)
                return
            except (OSError, ValueError, RuntimeError, self._ray.exceptions.RayError) as error:
                reason = _first_line(error)
        raise ConfigError(
            f"--launcher ray: no cluster at RAY_ADDRESS={address}: {reason}; if the cluster demands a token, "
            f"set {_MODE}=token, with the cluster's ~/.ray/auth_token in your home or in {_TOKEN}"
        )

    def _use_token(self) -> None:
        """Let Ray use the user's token from now on, although it has already read its settings."""
        os.environ[_MODE] = "token"
        self._ray._raylet.Config.initialize("")

    def _hire(self, number: int) -> None:
        """Ask for an actor, which waits until the cluster has room, and imports torch."""
        cpus, gpus = (1, 1) if self.devices[number] == "cuda" else (self._threads, 0)
        self._actors[number] = self._ray.remote(num_cpus=cpus, num_gpus=gpus)(_Actor).remote()

    def start(self, number: int, engines: Mapping[str, Engine]) -> None:
        """Send an actor its assignment."""
        if number not in self._actors:
            self._hire(number)
        device = self.devices[number]
        told = Assignment(
            number,
            self._config,
            self._folder,
            Path.cwd(),
            device,
            self._threads,
            dict(engines),
            self._pictures,
        )
        self._pending[self._actors[number].begin.remote(told)] = number

    def give(self, number: int, chunk: Chunk) -> None:
        """Give an actor a chunk; its events come as a stream."""
        self._pending[self._actors[number].make.options(num_returns="streaming").remote(chunk)] = number

    def events(self) -> Iterator[tuple[int, Event]]:
        """Wait for an event, and return one of every worker that has any."""
        ready: list[Any] = []
        while not ready:
            ready, _ = self._ray.wait(list(self._pending), timeout=_GLANCE)
        more, _ = self._ray.wait(list(self._pending), num_returns=len(self._pending), timeout=0)
        for source in {*ready, *more}:
            number = self._pending[source]
            event = self._event(source)
            if not self._streams(source) or isinstance(event, Done | Failed | Died):
                del self._pending[source]
            if isinstance(event, Died):
                self._ray.kill(self._actors.pop(number))
            yield number, event

    def _event(self, source: Any) -> Event:
        try:
            event: Event = self._ray.get(next(source) if self._streams(source) else source)
        except (self._ray.exceptions.RayError, StopIteration) as error:
            return Died(f"was lost ({type(error).__name__}: {_first_line(error)})")
        return event

    def _streams(self, source: Any) -> bool:
        return not isinstance(source, self._ray.ObjectRef)

    def close(self) -> None:
        """End all actors, and also the cluster if it was started here."""
        if self._is_own_cluster:
            self._ray.shutdown()
        else:
            for actor in self._actors.values():
                self._ray.kill(actor)
        self._actors.clear()
        self._pending.clear()


class _Actor:
    """What runs in a Ray worker process."""

    def begin(self, told: Assignment) -> Event:
        """Load the networks."""
        self._service = Service(told)
        return self._service.begin()

    def make(self, chunk: Chunk) -> Iterator[Event]:
        """Make a chunk's records."""
        yield from self._service.make(chunk)


def _has_token() -> bool:
    """Whether Ray would find a token of the user's."""
    return bool(os.environ.keys() & {_TOKEN, _TOKEN_PATH}) or Path("~/.ray/auth_token").expanduser().exists()


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0]
