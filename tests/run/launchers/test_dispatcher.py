"""Who gets which chunk, and what happens when a worker dies, with workers that are none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest
from conftest import write_annotation
from hypothesis import given
from hypothesis import strategies as st

from adasise_bench.models.engine import Engine
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.record import Record
from adasise_bench.run.config_file import validate
from adasise_bench.run.launchers import chunks
from adasise_bench.run.launchers.chunks import Chunk
from adasise_bench.run.launchers.dispatcher import ATTEMPTS, Dispatcher
from adasise_bench.run.launchers.events import Died, Done, Event, Failed, Made, Ready
from adasise_bench.run.plan import Plan, make_plan
from adasise_bench.utils.errors import BenchError, DeviceError

FACTS: dict[str, Any] = {
    "device_name": "chip",
    "driver": "1",
    "models": {
        "resnet50": {
            "weights_sha256": "ab" * 32,
            "published": True,
            "engine": {"layout": "contiguous", "batch_size": 4, "compile": False},
        }
    },
}
PICTURES = 11


class Puppets:
    """Workers that make a record at once, but die over certain pictures."""

    def __init__(self, workers: int = 2, **changes: Any) -> None:
        self.devices = ["cpu"] * workers
        self.deadly: Counter[str] = Counter()
        self.dead_on_arrival = 0
        self.facts = [FACTS] * workers
        self.started: list[tuple[int, dict[str, Engine]]] = []
        self.given: list[Chunk] = []
        self.closed = False
        self._happened: list[tuple[int, Event]] = []
        vars(self).update(changes)

    def open(self, pictures: int) -> None:
        pass

    def start(self, number: int, engines: Mapping[str, Engine]) -> None:
        self.started.append((number, dict(engines)))
        if self.dead_on_arrival:
            self.dead_on_arrival -= 1
            self._happened.append((number, Died("was killed")))
        else:
            self._happened.append((number, Ready(self.facts[number], "here", 1)))

    def give(self, number: int, chunk: Chunk) -> None:
        self.given.append(chunk)
        for key in sorted(chunk.keys, key=str):
            if self.deadly[key.image_id] > 0:
                self.deadly[key.image_id] -= 1
                self._happened.append((number, Died("was killed")))
                return
            self._happened.append((number, Made([Record(*key, score=0.5)])))
        self._happened.append((number, Done()))

    def events(self) -> Iterator[tuple[int, Event]]:
        assert self._happened, "waits for ever"
        happened, self._happened = self._happened, []
        yield from happened

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    root = tmp_path_factory.mktemp("voc")
    base = root / "VOCdevkit/VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True)
    ids = [f"{number:06}" for number in range(PICTURES)]
    for image_id in ids:
        write_annotation(
            base / "Annotations" / f"{image_id}.xml", (9, 9), [("dog", 1, 1, 5, 5), ("cat", 2, 2, 9, 9)]
        )
    (base / "Annotations" / f"{ids[3]}.xml").write_text("torn")
    (base / "ImageSets/Main/test.txt").write_text("\n".join(ids))
    tree = {"data": {"root": str(root)}, "models": {"resnet50": {}}, "methods": ["sise", "ada_sise"]}
    return make_plan(validate(tree, "test"))


def everything(plan: Plan) -> KeySet:
    return KeySet(plan.keys, np.ones(len(plan.keys), np.bool_))


def keep(pool: Puppets, plan: Plan, todo: KeySet, records: list[Record]) -> None:
    with Dispatcher(pool) as launcher:
        facts = launcher.prepare({})
        assert facts["devices"] == pool.devices
        for some in launcher.records(plan, todo, plan.dataset.digests()):
            records += some


def made(pool: Puppets, plan: Plan, todo: KeySet | None = None) -> list[Record]:
    records: list[Record] = []
    try:
        keep(pool, plan, everything(plan) if todo is None else todo, records)
    finally:
        assert pool.closed
    return records


@given(
    workers=st.integers(1, 5),
    deaths=st.dictionaries(st.integers(0, PICTURES - 1), st.integers(1, 5), max_size=4),
    flags=st.lists(st.booleans(), min_size=2 * (2 * PICTURES - 1), max_size=2 * (2 * PICTURES - 1)),
)
def test_every_wanted_record_comes_once_whoever_dies(
    plan: Plan, workers: int, deaths: dict[int, int], flags: list[bool]
) -> None:
    deadly = Counter({f"{number:06}": times for number, times in deaths.items()})
    todo = KeySet(plan.keys, np.array(flags))
    records = made(Puppets(workers, deadly=deadly.copy()), plan, todo)
    assert Counter(record.key for record in records) == Counter(key for key in plan.keys if key in todo)
    lost = {record.image_id for record in records if record.error is not None}
    assert lost <= {image_id for image_id, times in deadly.items() if times >= ATTEMPTS - 1}


def test_only_the_deadly_picture_is_lost_and_its_records_say_why(plan: Plan) -> None:
    pool = Puppets(deadly=Counter({"000005": 99}))
    lost = [record for record in made(pool, plan) if record.error is not None]
    assert {record.image_id for record in lost} == {"000005"}
    assert len(lost) == 4
    assert lost[0].error == f"the worker was killed, {ATTEMPTS} times over this picture"
    assert (lost[0].weights, lost[0].published_model) == ("ab" * 6, True)
    assert max(chunk.attempt for chunk in pool.given) == ATTEMPTS
    assert all(len(chunk.annotations) == 1 for chunk in pool.given if chunk.attempt > 1)


def test_all_workers_run_networks_as_the_first_chose(plan: Plan) -> None:
    pool = Puppets(3)
    made(pool, plan)
    chosen = {"resnet50": Engine("contiguous", 4)}
    assert pool.started == [(0, {}), (1, chosen), (2, chosen)]


def test_nothing_to_do_needs_one_worker(plan: Plan) -> None:
    pool = Puppets(3)
    assert made(pool, plan, KeySet(plan.keys, np.zeros(len(plan.keys), np.bool_))) == []
    assert len(pool.started) == 1


def test_a_worker_of_another_kind_is_refused_and_named(plan: Plan) -> None:
    pool = Puppets(facts=[FACTS, FACTS | {"device_name": "other chip", "driver": "2"}])
    with pytest.raises(DeviceError, match=r"worker 1 .* device_name: chip -> other chip;"):
        made(pool, plan)


@pytest.mark.parametrize("deaths", range(1, ATTEMPTS + 1))
def test_workers_that_cannot_start_are_given_up(plan: Plan, deaths: int) -> None:
    pool = Puppets(dead_on_arrival=deaths)
    if deaths < ATTEMPTS:
        assert len(made(pool, plan)) == len(plan.keys)
    else:
        with pytest.raises(BenchError, match="before it could work"):
            made(pool, plan)


def test_a_worker_that_never_gets_ready_is_left_out_while_others_work(
    plan: Plan, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class OneBroken(Puppets):
        def start(self, number: int, engines: Mapping[str, Engine]) -> None:
            self.dead_on_arrival = int(number == 1)
            super().start(number, engines)

    monkeypatch.setattr(chunks, "_PICTURES", 1)  # so that the others are still at work then
    pool = OneBroken(3)
    with Dispatcher(pool) as launcher:
        launcher.prepare({})
        given = launcher.records(plan, everything(plan), plan.dataset.digests())
        records = [record for some in given for record in some]
    assert len(records) == len(plan.keys)
    assert not any(record.error for record in records)
    assert [number for number, _ in pool.started].count(1) == ATTEMPTS
    assert [worker["state"] for worker in launcher.workers()] == ["idle", "given up", "idle"]
    said = f"worker 1 on cpu was killed, {ATTEMPTS} times before it could work; the run continues without it"
    assert said in capsys.readouterr().err


def test_the_last_worker_that_is_given_up_ends_the_run(plan: Plan) -> None:
    class Breaking(Puppets):
        def give(self, number: int, chunk: Chunk) -> None:
            self.dead_on_arrival = 99
            self._happened.append((number, Died("was killed")))

    with pytest.raises(BenchError, match="before it could work; its log may say why"):
        made(Breaking(2), plan)


def test_what_came_before_a_failure_is_kept(plan: Plan) -> None:
    class Failing(Puppets):
        def give(self, number: int, chunk: Chunk) -> None:
            if self.given:
                self._happened.append((number, Failed(BenchError("no such thing"))))
                self.given.append(chunk)
            else:
                super().give(number, chunk)

    kept: list[Record] = []
    with pytest.raises(BenchError, match="no such thing"):
        keep(Failing(), plan, everything(plan), kept)
    assert kept


def test_chunks_are_small_but_fill_a_batch_where_forwards_are_shared(plan: Plan) -> None:
    from adasise_bench.run.launchers.chunks import pictures_at_once

    engines = {"resnet50": Engine("contiguous", 256)}
    assert pictures_at_once(plan.config, engines, 5000, 2) == 4
    shared = plan.config.model_copy(update={"share_forwards": True})
    assert pictures_at_once(shared, engines, 5000, 2) == 4
    methods = validate(
        plan.config.model_dump(mode="json") | {"methods": ["extremal_perturbation"], "share_forwards": True},
        "x",
    )
    assert pictures_at_once(methods, engines, 5000, 2) == 64
    assert pictures_at_once(methods, engines, 40, 2) == 5


def test_a_chunk_that_comes_back_short_is_an_error(plan: Plan) -> None:
    class Forgetful(Puppets):
        def give(self, number: int, chunk: Chunk) -> None:
            super().give(number, chunk)
            forgotten = min(chunk.keys, key=str)
            self._happened = [
                (worker, event)
                for worker, event in self._happened
                if not (isinstance(event, Made) and event.records[0].key == forgotten)
            ]

    with pytest.raises(BenchError, match=r"left out 1 record, for example resnet50 ada_sise 00000\d "):
        made(Forgetful(), plan)
