"""Ray with three workers on two nodes, all on this machine: equal values, and nodes and workers that die."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drawn_scenes import PYTHONPATH, Patient, after, assert_same, kill, settings, values

from adasise_bench.errors import ConfigError, DeviceError
from adasise_bench.launchers.hand_out import HandOut
from adasise_bench.launchers.ray import RayCrew
from adasise_bench.runner import run

pytest.importorskip("ray", reason="needs Ray: pip install 'adasise-bench[ray]'")

CONFIG = settings(save_maps=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A head that takes two workers, and a node that takes one."""
    import ray
    from ray.cluster_utils import Cluster

    cache = tmp_path_factory.getbasetemp() / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PYTHONPATH)
        patch.setenv("XDG_CACHE_HOME", str(cache))
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        made = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
        made.second = made.add_node(num_cpus=1)
        ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
        yield made
        ray.shutdown()
        made.shutdown()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of one process."""
    folder = tmp_path_factory.mktemp("run") / "whole"
    run(CONFIG, folder)
    return folder


def test_three_workers_make_the_records_of_one_process(cluster: Any, whole: Path, tmp_path: Path) -> None:
    launcher = HandOut(Patient(RayCrew(CONFIG, tmp_path / "out", 3)))
    assert run(CONFIG, tmp_path / "out", launcher=launcher).errors == 0
    assert_same(tmp_path / "out", whole)
    assert len(launcher.workers()) == 3
    assert all(worker["made"] for worker in launcher.workers())
    assert (tmp_path / "out/logs/worker-2.log").exists()


def test_a_lost_node_and_a_killed_worker_lose_nothing(
    cluster: Any,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    launcher = HandOut(Patient(RayCrew(CONFIG, tmp_path / "out", 3)))
    after(3, monkeypatch, lambda: cluster.remove_node(cluster.second, allow_graceful=False))
    after(9, monkeypatch, lambda: kill(next(w["pid"] for w in launcher.workers() if w["state"] == "busy")))
    assert run(CONFIG, tmp_path / "out", launcher=launcher).errors == 0
    assert_same(tmp_path / "out", whole)
    assert capsys.readouterr().err.count("was lost") >= 1
    assert len(values(tmp_path / "out")) == len(values(whole))


def test_a_cluster_without_room_is_named(cluster: Any, tmp_path: Path) -> None:
    crew = RayCrew(settings(device="cuda"), tmp_path, None)
    with pytest.raises(DeviceError, match="the cluster has no GPU"):
        crew.open()


def test_no_ray_and_certain_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="Ray chooses the GPUs"):
        RayCrew(settings(device="cuda:1"), tmp_path, None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'adasise-bench\[ray\]'"):
        RayCrew(CONFIG, tmp_path, None)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
