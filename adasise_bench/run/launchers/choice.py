"""The launcher that the command line asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from adasise_bench.run.config import RunConfig
from adasise_bench.run.launchers import Launcher
from adasise_bench.run.launchers.dispatcher import Dispatcher
from adasise_bench.run.launchers.in_process import InProcess
from adasise_bench.run.launchers.local import LocalWorkerPool
from adasise_bench.utils.devices import pick_devices
from adasise_bench.utils.errors import ConfigError


def choose_launcher(
    config: RunConfig, folder: Path, name: str, devices: Sequence[str] | None, workers: int | None
) -> Launcher:
    """The launcher of a run.

    Args:
        config: the run.
        folder: the run folder.
        name: ``local`` or ``ray``.
        devices: see :func:`adasise_bench.utils.devices.pick_devices`.
        workers: number of workers on Ray.

    Raises:
        ConfigError: options do not belong together, or Ray is not installed.
        DeviceError: no such device.
    """
    if name == "ray":
        from adasise_bench.run.launchers.ray import RayWorkerPool

        if devices:
            raise ConfigError("--devices: Ray chooses the devices itself; use --workers")
        return Dispatcher(RayWorkerPool(config, folder, workers))
    if workers:
        raise ConfigError("--workers: needs --launcher ray; without Ray, use --devices")
    picked = pick_devices(devices, config.device)
    if len(picked) > 1:
        return Dispatcher(LocalWorkerPool(config, folder, picked))
    return InProcess(config.model_copy(update={"device": picked[0]}), folder)
