"""Ray with three workers on two nodes, all on this machine: equal values, and nodes and workers that die."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from drawn_scenes import PYTHONPATH, Patient, after, assert_same, kill, settings, values

from adasise_bench.run.launchers.dispatcher import Dispatcher
from adasise_bench.run.launchers.ray import RayWorkerPool
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import ConfigError, DeviceError

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
    launcher = Dispatcher(Patient(RayWorkerPool(CONFIG, tmp_path / "out", 3)))
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
    launcher = Dispatcher(Patient(RayWorkerPool(CONFIG, tmp_path / "out", 3)))
    after(3, monkeypatch, lambda: cluster.remove_node(cluster.second, allow_graceful=False))
    after(9, monkeypatch, lambda: kill(next(w["pid"] for w in launcher.workers() if w["state"] == "busy")))
    assert run(CONFIG, tmp_path / "out", launcher=launcher).errors == 0
    assert_same(tmp_path / "out", whole)
    assert capsys.readouterr().err.count("was lost") >= 1
    assert len(values(tmp_path / "out")) == len(values(whole))


def test_a_cluster_without_room_is_named(cluster: Any, tmp_path: Path) -> None:
    pool = RayWorkerPool(settings(device="cuda"), tmp_path, None)
    with pytest.raises(DeviceError, match="the cluster has no GPU"):
        pool.open(1)


def test_no_ray_and_certain_gpus_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="Ray chooses the GPUs"):
        RayWorkerPool(settings(device="cuda:1"), tmp_path, None)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"pip install 'adasise-bench\[ray\]'"):
        RayWorkerPool(CONFIG, tmp_path, None)
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


class Joined:
    """Stands in for Ray: a cluster that is joined with the right ``RAY_AUTH_MODE`` only."""

    class exceptions:  # noqa: N801
        RayError = OSError

    def __init__(self, mode: str | None) -> None:
        self._mode, self.joined, self.refusals = mode, list[str](), 0
        self._raylet = SimpleNamespace(Config=SimpleNamespace(initialize=self._read_settings))
        self._read_settings("")

    def _read_settings(self, _settings: str) -> None:
        self._known_mode = os.environ.get("RAY_AUTH_MODE")

    def init(self, address: str, **_settings: Any) -> None:
        if address != "local" and self._known_mode != self._mode:
            self.refusals += 1
            raise ConnectionError("Failed to connect\nmore")
        self.joined.append(address)

    def is_initialized(self) -> bool:
        return False


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of its own, and an environment that says nothing of Ray."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "")  # so that it is put back
        monkeypatch.delenv(name)
    return tmp_path


def crew_on(cluster: Joined, folder: Path) -> RayWorkerPool:
    pool = RayWorkerPool(CONFIG, folder, 1)
    pool._ray = cluster
    return pool


@pytest.mark.parametrize(
    ("demanded", "token", "refusals"),
    [(None, False, 0), (None, True, 0), ("token", True, 1)],
    ids=["no token anywhere", "a token that the cluster does not know of", "a token that it demands"],
)
def test_a_token_is_used_where_the_cluster_demands_it(
    home: Path, demanded: str | None, token: bool, refusals: int
) -> None:
    if token:
        (home / ".ray").mkdir()
        (home / ".ray/auth_token").write_text("7" * 64)
    cluster = Joined(demanded)
    crew_on(cluster, home)._join("head:6379")
    assert (cluster.joined, cluster.refusals) == (["head:6379"], refusals)


@pytest.mark.parametrize("mode", [None, "disabled"])
def test_a_cluster_that_cannot_be_joined_names_the_setting(
    home: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None
) -> None:
    if mode:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)
    with pytest.raises(ConfigError, match=r"RAY_ADDRESS=head:6379: Failed to connect; .*RAY_AUTH_MODE=token"):
        crew_on(Joined("token"), home)._join("head:6379")


def test_a_cluster_that_does_not_start_in_time_ends_in_one_line(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(**_settings: Any) -> None:
        raise Exception("The current node timed out during startup.\nmore")

    monkeypatch.setenv("RAY_AUTH_TOKEN", "7" * 64)
    pool = crew_on(Joined(None), home)
    monkeypatch.setattr(pool._ray, "init", slow)
    with pytest.raises(ConfigError, match="cluster can be started here: The current node timed out during"):
        pool.open(1)


def test_a_cluster_of_its_own_leaves_no_token_in_the_users_home(home: Path) -> None:
    """In a process of its own, as Ray keeps its token for the life of a process."""
    code = (
        "from pathlib import Path; from drawn_scenes import settings; "
        "from adasise_bench.run.launchers.ray import RayWorkerPool; "
        "pool = RayWorkerPool(settings(), Path('out'), 1); pool.open(1); pool.close()"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "PYTHONPATH": PYTHONPATH}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=home, timeout=120, check=True)
    assert not (home / ".ray").exists()
