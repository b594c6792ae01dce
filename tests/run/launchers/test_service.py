"""What a worker does before its first chunk, on GPUs that are none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from drawn_scenes import settings

from adasise_bench.records.folder_names import LOCK
from adasise_bench.records.record import Record
from adasise_bench.run.launchers import service
from adasise_bench.run.launchers.events import Done, Made, Ready
from adasise_bench.run.launchers.local import LocalWorkerPool
from adasise_bench.run.launchers.service import Assignment, Service


@pytest.fixture
def chosen(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the GPUs that a worker makes its own, on a machine that seems to have two."""
    numbers: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch._C, "_cuda_setDevice", numbers.append, raising=False)
    return numbers


@pytest.mark.parametrize(
    ("device", "number"), [("cuda:0", 0), ("cuda:1", 1), ("cuda", 0), ("auto", 0)], ids=str
)
def test_a_worker_makes_its_gpu_the_current_one(
    chosen: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, number: int
) -> None:
    """Ray tells its workers plain ``cuda``: each sees one GPU, which has number 0 for it."""
    loaded: list[torch.device] = []

    def worker(_config: object, on: torch.device, *_rest: object) -> Any:
        loaded.append(on)
        return SimpleNamespace(prepare=lambda _engines: {"models": {}})

    monkeypatch.setattr(service, "_write_into", lambda _log: None)
    monkeypatch.setattr(service, "Worker", worker)
    (tmp_path / LOCK).touch()
    told = Assignment(number, settings(device="cuda"), tmp_path, Path.cwd(), device, 1, {})
    ready = Service(told).begin()
    assert isinstance(ready, Ready), ready
    assert ready.place.endswith(f" cuda:{number}")
    assert (chosen, loaded) == ([number], [torch.device("cuda", number)])


def test_records_of_quick_explanations_are_sent_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that took long comes at once, with what was held back before it."""
    now = 0.0
    monkeypatch.setattr(service, "time", SimpleNamespace(monotonic=lambda: now))
    records = [Record("vgg16", "sise", str(number), "dog") for number in range(5)]

    def made() -> Iterator[list[Record]]:
        nonlocal now
        for record, seconds in zip(records, (0.01, 0.01, 5.0, 0.01, 0.01), strict=True):
            now += seconds
            yield [record]

    assert list(service.in_groups(made())) == [Made(records[:3]), Done(records[3:])]


def test_a_first_worker_is_told_for_how_many_pictures_it_may_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    pool = LocalWorkerPool(settings(), tmp_path, ["cpu"])
    monkeypatch.setattr(pool, "_spawn", lambda _number: None)
    monkeypatch.setattr(pool, "_send", lambda _number, assignment: told.append(assignment.pictures))
    pool.open(7)
    pool._workers[0] = None, None  # type: ignore[assignment]
    pool.start(0, {})
    assert told == [7]
