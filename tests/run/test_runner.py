"""Runs on a tiny VOC set: what is recorded, resumed, refused and survived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from small_runs import COMPARED, twenty_classes, values
from torch import nn

from adasise_bench.data.transforms import CAFFE
from adasise_bench.data.voc import VOC_CLASSES
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.records import manifest
from adasise_bench.records.folder import exclusive
from adasise_bench.records.folder_names import MANIFEST
from adasise_bench.records.planned_keys import KeySet
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import SCHEMA
from adasise_bench.records.run import load_run
from adasise_bench.records.store import RecordStore
from adasise_bench.run import measure, network, runner, worker
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.launchers.chunks import chunks_of
from adasise_bench.run.plan import Plan, make_plan
from adasise_bench.run.runner import run
from adasise_bench.run.worker import Worker
from adasise_bench.utils.errors import DataError, DeviceError, OutputError
from adasise_bench.utils.timing import PhaseClock


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every architecture loads as one tiny network with the 20 VOC classes."""

    monkeypatch.setattr(network, "load_classifier", lambda name, **settings: twenty_classes(name))


@pytest.fixture
def config(voc_root: Path) -> Callable[..., RunConfig]:
    def make(**changes: Any) -> RunConfig:
        tree = {
            "data": {"root": str(voc_root), "input_size": 48},
            "models": {"resnet50": {}},
            "methods": ["sise", "ada_sise", {"name": "extremal_perturbation", "iterations": 2}],
        }
        return validate(tree | changes, "test")

    return make


def test_one_record_per_model_method_image_and_class(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    outcome = run(config(), tmp_path / "out")
    records = read_records(tmp_path / "out")
    assert (outcome.computed, outcome.reused, outcome.errors) == (12, 0, 0)
    assert list(records["method"].unique()) == ["sise", "ada_sise", "extremal_perturbation"]
    pairs = [("000001", "dog"), ("000001", "person"), ("000002", "person"), ("000003", "cat")]
    assert list(zip(records["image_id"][:4], records["class_name"][:4], strict=True)) == pairs
    assert records[COMPARED[:-1]].notna().all(axis=None)
    assert records["error"].isna().all()
    assert records["box_share"][3] == 100
    sise = records[records["method"] == "sise"]
    phases = sise[[f"seconds_{p}" for p in ("feature_maps", "selection", "scoring", "fusion")]]
    assert (phases > 0).all(axis=None)
    assert (phases.sum(axis=1) <= sise["seconds"]).all()
    assert (records["seconds_plain_forward"] > 0).all()
    assert not records["published_model"].any()
    assert (records["weights"] == "0" * 12).all()


def test_a_record_holds_the_metrics_of_its_map(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    from adasise_bench import metrics
    from adasise_bench.data.boxes import box_mask
    from adasise_bench.data.loading import open_dataset
    from adasise_bench.data.transforms import to_input

    settings = config(methods=["sise"], save_maps=True)
    run(settings, tmp_path / "out")
    dataset = open_dataset(settings.data)
    annotation = dataset.annotation("000001")
    image = to_input(dataset.picture("000001", annotation), "stretch", 48)
    record = read_records(tmp_path / "out").iloc[0]
    saliency = np.load(tmp_path / "out/maps/resnet50/sise/000001_dog.npy")
    assert saliency.dtype == np.float32
    assert saliency.shape == (48, 48)
    dogs = [box for box in annotation.boxes if box.class_name == "dog"]
    assert len(dogs) == 2
    inside = box_mask(dogs, (60, 40), (48, 48))
    classifier = twenty_classes()
    target = VOC_CLASSES.index("dog")
    full = float(classifier.scores(image)[0, target])
    shown = float(classifier.scores(metrics.shown_part(image, torch.from_numpy(saliency)))[0, target])
    assert record["ebpg"] == metrics.ebpg(torch.from_numpy(saliency), inside)
    assert record["bbox"] == metrics.bbox(torch.from_numpy(saliency), inside)
    assert record["score"] == full
    assert record["drop"] == metrics.drop(full, shown)
    assert record["increase"] == (100 if shown > full else 0)


def test_folder_says_where_its_numbers_come_from(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    import yaml

    run(config(limit=2), tmp_path / "out")
    environment = json.loads((tmp_path / "out/environment.json").read_text())
    settings = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert validate(settings, "again") == config(limit=2)
    assert environment["data"]["images"] == 2
    assert environment["data"]["full_pairs"] == 7632
    assert len(environment["data"]["fingerprint"]) == 64
    assert environment["models"]["resnet50"]["published"] is False
    assert environment["torch"] == torch.__version__
    assert environment["device"] == "cpu"
    assert environment["definitions"]["bbox"]


class Killed(BaseException):
    pass


@pytest.mark.parametrize("done", [0, 1, 5, 11])
def test_resumes_to_the_same_values(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    run(config(), tmp_path / "whole")
    append = RecordStore.append
    appended = []

    def stop(store: RecordStore, records: list[Any]) -> None:
        if len(appended) == done:
            raise Killed
        appended.append(records)
        append(store, records)

    monkeypatch.setattr(RecordStore, "append", stop)
    with pytest.raises(Killed):
        run(config(), tmp_path / "out")
    assert not (tmp_path / "out/records.parquet").exists()
    monkeypatch.setattr(RecordStore, "append", append)
    outcome = run(config(), tmp_path / "out")
    assert (outcome.computed, outcome.reused) == (12 - done, done)
    pd.testing.assert_frame_equal(values(tmp_path / "out"), values(tmp_path / "whole"))
    assert list(read_records(tmp_path / "out")["method"]) == list(read_records(tmp_path / "whole")["method"])


def test_limit_batch_size_and_order_change_no_value(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(), tmp_path / "whole")
    run(config(limit=1), tmp_path / "part")
    run(config(limit=3), tmp_path / "part")
    whole = values(tmp_path / "whole")
    pd.testing.assert_frame_equal(values(tmp_path / "part"), whole)
    run(config(engine={"batch_size": 3}), tmp_path / "batch")
    pd.testing.assert_frame_equal(values(tmp_path / "batch"), whole, atol=1e-4, rtol=0)
    reordered = ["ada_sise", {"name": "extremal_perturbation", "iterations": 2}, "sise"]
    run(config(methods=reordered), tmp_path / "order")
    pd.testing.assert_frame_equal(values(tmp_path / "order"), whole)


def test_sharing_forwards_changes_no_value_and_saves_forwards(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []

    def load(name: str, **_settings: Any) -> Classifier:
        classifier = twenty_classes(name)
        classifier.module.register_forward_pre_hook(lambda _m, inputs: passed.append(len(inputs[0])))
        return classifier

    monkeypatch.setattr(network, "load_classifier", load)
    engine = {"layout": "contiguous", "batch_size": 8}
    methods = ["sise", "ada_sise", {"name": "sise", "label": "soft", "fusion": "soft", "mu": 0.2}]
    run(config(engine=engine, methods=methods, save_maps=True), tmp_path / "alone")
    alone = sum(passed)
    passed.clear()
    run(config(engine=engine, methods=methods, save_maps=True, share_forwards=True), tmp_path / "shared")
    pd.testing.assert_frame_equal(values(tmp_path / "shared"), values(tmp_path / "alone"), check_exact=True)
    assert sum(passed) < 0.6 * alone
    maps = sorted((tmp_path / "alone/maps").rglob("*.npy"))
    assert len(maps) == 12
    for path in maps:
        other = tmp_path / "shared/maps" / path.relative_to(tmp_path / "alone/maps")
        assert path.read_bytes() == other.read_bytes()
    shared = read_records(tmp_path / "shared")
    assert shared.filter(like="seconds").isna().all(axis=None)


def test_perturbation_side_by_side_over_pictures_equals_alone(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    methods = [{"name": "extremal_perturbation", "iterations": 10}]
    run(config(methods=methods), tmp_path / "alone")
    engine = {"layout": "contiguous", "batch_size": 12}
    run(config(methods=methods, engine=engine, share_forwards=True), tmp_path / "shared")
    pd.testing.assert_frame_equal(values(tmp_path / "shared"), values(tmp_path / "alone"), atol=1e-2, rtol=0)


def test_chunks_with_shared_forwards_change_no_value(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    methods = ["sise", "ada_sise", {"name": "extremal_perturbation", "iterations": 5}]
    settings = config(methods=methods, share_forwards=True, engine={"layout": "contiguous", "batch_size": 12})
    run(settings, tmp_path / "whole")
    plan = make_plan(settings)
    one = Worker(settings, torch.device("cpu"), tmp_path, plan.dataset, len(plan.annotations))
    one.prepare({})
    records = {}
    everything = KeySet(plan.keys, np.ones(len(plan.keys), np.bool_))
    for chunk in chunks_of(plan, everything, plan.dataset.digests(), 2):
        part = Plan(settings, plan.dataset, chunk.annotations)
        given = one.records(part, chunk.model, chunk.keys, chunk.digests)
        made = [record for some in given for record in some]
        assert {record.key for record in made} == chunk.keys
        records |= {record.key: record for record in made}
    store = RecordStore(tmp_path, plan.keys)
    store.append(records.values())
    store.finish()
    store.close()
    pd.testing.assert_frame_equal(values(tmp_path), values(tmp_path / "whole"), check_exact=True)


def test_an_annotation_that_can_be_read_too_late_is_an_error_of_its_picture(
    config: Callable[..., RunConfig],
) -> None:
    plan = make_plan(config())
    plan = replace(plan, classes={name: [None] for name in plan.annotations})
    found = dict(worker.load_ahead(plan, plan.annotations, dict.fromkeys(plan.annotations), CAFFE))
    assert list(found) == list(plan.annotations)
    assert all(isinstance(loaded, DataError) and "--no-resume" in str(loaded) for loaded in found.values())


def test_one_failure_among_shared_explanations_is_recorded_alone(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adasise_bench.utils.errors import BenchError

    measured = worker.measured

    def fail_for_dogs(classifier: Classifier, request: Any, key: Any, *rest: Any, **more: Any) -> Any:
        if key.class_name == "dog":
            raise BenchError("planted")
        return measured(classifier, request, key, *rest, **more)

    monkeypatch.setattr(worker, "measured", fail_for_dogs)
    outcome = run(config(methods=["sise", "ada_sise"], share_forwards=True), tmp_path / "out")
    records = read_records(tmp_path / "out")
    assert outcome.errors == 2
    assert records[records["error"].notna()]["class_name"].tolist() == ["dog", "dog"]
    assert records["ebpg"].notna().sum() == 6


def test_a_resumed_run_keeps_its_engine(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(limit=1), tmp_path / "out")
    before = json.loads((tmp_path / "out/environment.json").read_text())["models"]["resnet50"]["engine"]
    monkeypatch.setattr(network, "tune", lambda *_, layout, batch_size, **_k: Engine(layout, batch_size))
    run(config(), tmp_path / "out")
    after = json.loads((tmp_path / "out/environment.json").read_text())["models"]["resnet50"]["engine"]
    assert after == before


def test_unusable_pictures_are_recorded_and_tried_again(
    config: Callable[..., RunConfig], voc_root: Path, tmp_path: Path
) -> None:
    base = voc_root / "VOCdevkit/VOC2007"
    torn, xml = base / "JPEGImages/000001.jpg", base / "Annotations/000002.xml"
    picture, annotation = torn.read_bytes(), xml.read_text()
    torn.write_bytes(picture[:300])
    xml.write_text(annotation.replace("person", "unicorn"))
    outcome = run(config(methods=["sise"]), tmp_path / "out")
    records = read_records(tmp_path / "out")
    assert outcome.errors == 3
    assert records["error"].notna().tolist() == [True, True, True, False]
    assert "000001.jpg" in records["error"][0]
    assert "unicorn" in records["error"][2]
    assert records["class_name"].isna().tolist() == [False, False, True, False]
    assert records["ebpg"].notna().tolist() == [False, False, False, True]
    again = run(config(methods=["sise"]), tmp_path / "out")
    assert (again.computed, again.reused, again.errors) == (3, 1, 3)
    torn.write_bytes(picture)
    xml.write_text(annotation)
    mended = run(config(methods=["sise"]), tmp_path / "out")
    assert (mended.computed, mended.reused, mended.errors) == (3, 1, 0)
    run(config(methods=["sise"]), tmp_path / "undisturbed")
    pd.testing.assert_frame_equal(values(tmp_path / "out"), values(tmp_path / "undisturbed"))


def test_an_explained_picture_that_changed_is_refused(
    config: Callable[..., RunConfig], voc_root: Path, tmp_path: Path
) -> None:
    run(config(methods=["sise"], limit=2), tmp_path / "out")
    pictures = voc_root / "VOCdevkit/VOC2007/JPEGImages"
    (pictures / "000003.jpg").write_bytes((pictures / "000001.jpg").read_bytes())
    run(config(methods=["sise"], limit=2), tmp_path / "out")
    (pictures / "000002.jpg").write_bytes(b"another")
    with pytest.raises(OutputError, match="picture 000002"):
        run(config(methods=["sise"], limit=2), tmp_path / "out")


def test_records_without_their_environment_are_refused(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    run(config(limit=1), tmp_path / "out")
    (tmp_path / "out" / MANIFEST).unlink()
    (tmp_path / "out/environment.json").unlink()
    with pytest.raises(OutputError, match=r"environment\.json: missing"):
        run(config(limit=1), tmp_path / "out")


@pytest.mark.parametrize("text", ["[]", '{"models": ["resnet50"]}', '{"models": {"resnet50": {}}}'])
def test_an_environment_of_another_shape_is_refused(
    config: Callable[..., RunConfig], tmp_path: Path, text: str
) -> None:
    run(config(limit=1), tmp_path / "out")
    (tmp_path / "out/environment.json").write_text(text)
    with pytest.raises(OutputError, match="damaged"):
        run(config(limit=1), tmp_path / "out")


@pytest.mark.parametrize("resume", [True, False])
def test_a_folder_of_other_files_is_left_alone(
    config: Callable[..., RunConfig], tmp_path: Path, resume: bool
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="other files and no run"):
        run(config(), tmp_path / "mine", resume=resume)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert not (tmp_path / "mine.1").exists()


def test_a_smaller_limit_takes_no_record_away(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(), tmp_path / "out")
    whole = values(tmp_path / "out")
    run(config(limit=1), tmp_path / "out")
    pd.testing.assert_frame_equal(values(tmp_path / "out"), whole)


def test_scores_that_are_not_finite_are_recorded(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    classifier = twenty_classes()
    nn.init.constant_(classifier.module.head.bias, float("nan"))
    monkeypatch.setattr(network, "load_classifier", lambda name, **settings: classifier)
    assert run(config(limit=1), tmp_path / "out").errors == 6
    assert read_records(tmp_path / "out")["error"].str.contains("not finite").all()


@pytest.mark.parametrize("change", [{"score": "sigmoid"}, {"seed": 3}, {"methods": ["sise"]}])
def test_another_configuration_is_refused_and_named(
    config: Callable[..., RunConfig], tmp_path: Path, change: dict[str, Any]
) -> None:
    run(config(limit=1), tmp_path / "out")
    before = (tmp_path / "out/records.jsonl").read_bytes()
    with pytest.raises(OutputError, match=next(iter(change))):
        run(config(limit=1, **change), tmp_path / "out")
    assert (tmp_path / "out/records.jsonl").read_bytes() == before
    run(config(limit=1, **change), tmp_path / "out", resume=False)
    assert (tmp_path / "out.1/records.jsonl").read_bytes() == before


def test_other_code_versions_are_refused(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    run(config(limit=1), tmp_path / "out")
    path = tmp_path / "out/environment.json"
    (tmp_path / "out" / MANIFEST).unlink()
    path.write_text(path.read_text().replace(torch.__version__, "1.0.0"))
    with pytest.raises(OutputError, match=r"torch: 1\.0\.0 ->"):
        run(config(limit=1), tmp_path / "out")
    path.write_text("{torn")
    with pytest.raises(OutputError, match="damaged"):
        run(config(limit=1), tmp_path / "out")


def test_a_second_run_on_the_folder_is_refused(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    for resume in (True, False):
        with exclusive(tmp_path / "out"), pytest.raises(OutputError, match="another run is writing"):
            run(config(), tmp_path / "out", resume=resume)
    assert not (tmp_path / "out.1").exists()
    run(config(limit=1), tmp_path / "out")


def test_maps_are_made_again_when_they_are_wanted_later(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    run(config(methods=["sise"]), tmp_path / "out")
    outcome = run(config(methods=["sise"], save_maps=True), tmp_path / "out")
    assert outcome.computed == 4
    assert run(config(methods=["sise"], save_maps=True), tmp_path / "out").computed == 0
    assert len(list((tmp_path / "out/maps").rglob("*.npy"))) == 4


def test_an_absent_gpu_is_named(config: Callable[..., RunConfig], tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="--device cuda:99"):
        run(config(device="cuda:99"), tmp_path / "out")


def test_whole_explanations_are_discarded_first(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adasise_bench.methods.sise.sise import Sise

    calls = []
    explain = Sise.explain

    def counted(self: Sise, *arguments: Any) -> Any:
        calls.append(self.label)
        return explain(self, *arguments)

    monkeypatch.setattr(Sise, "explain", counted)
    run(config(methods=["sise"], limit=1, timing={"warmup": 3}), tmp_path / "out")
    assert len(calls) == 3 + 2
    assert len(read_records(tmp_path / "out")) == 2


def test_a_failing_warm_up_loses_no_other_picture(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from adasise_bench.methods.sise.sise import Sise
    from adasise_bench.utils.errors import BenchError

    calls = []
    explain = Sise.explain

    def fail_first(self: Sise, *arguments: Any) -> Any:
        calls.append(self.label)
        if len(calls) == 1:
            raise BenchError("planted")
        return explain(self, *arguments)

    monkeypatch.setattr(Sise, "explain", fail_first)
    assert run(config(methods=["sise"], timing={"warmup": 1}), tmp_path / "out").errors == 0


def test_failed_records_carry_no_measure() -> None:
    from adasise_bench.records.record import Key

    record = measure.failed(Key("resnet50", "sise", "1", None), twenty_classes(), "why")
    filled = {name for name, value in asdict(record).items() if value is not None}
    assert filled == {"model", "method", "image_id", "error", "published_model", "weights"}


EXTRA = ["insertion", "deletion", "head_sensitivity", "road", "adcc"]
BEYOND = ["pointing", "pointing_difficult", "average_gain", "sparseness", "complexity", *EXTRA]


def test_metrics_beyond_table1_are_recorded_where_they_are_asked_for(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    from adasise_bench import metrics
    from adasise_bench.data.loading import open_dataset
    from adasise_bench.data.transforms import to_input
    from adasise_bench.methods import Request
    from adasise_bench.metrics.adcc import adcc
    from adasise_bench.metrics.complexity import complexity
    from adasise_bench.metrics.pixels import pixel_order
    from adasise_bench.metrics.road import road
    from adasise_bench.metrics.sparseness import sparseness

    settings = config(methods=["sise"], save_maps=True, extra_metrics=EXTRA)
    run(settings, tmp_path / "out")
    record = read_records(tmp_path / "out").iloc[0]
    dataset = open_dataset(settings.data)
    annotation = dataset.annotation("000001")
    image = to_input(dataset.picture("000001", annotation), "stretch", 48)
    saliency = torch.from_numpy(np.load(tmp_path / "out/maps/resnet50/sise/000001_dog.npy"))
    classifier, target = twenty_classes(), VOC_CLASSES.index("dog")
    region = annotation.inside("dog", (40, 60))
    assert record["pointing"] == metrics.pointing(saliency, region)
    assert record["pointing_difficult"] == record["pointing"]  # Excitation Backprop's set has 000001 dog
    shown = float(classifier.scores(metrics.shown_part(image, saliency))[0, target])
    assert record["average_gain"] == metrics.average_gain(record["score"], shown)
    request = Request(settings.methods[0], image, target)
    assert record["insertion"] == pytest.approx(
        metrics.insertion(classifier, image, target, saliency), abs=1e-3
    )
    assert record["deletion"] == pytest.approx(
        metrics.deletion(classifier, image, target, saliency), abs=1e-3
    )

    def explain(other: Classifier, picture: torch.Tensor) -> torch.Tensor:
        asked = request._replace(image=picture)
        return asked.method.explain(other, asked, PhaseClock(other.device)).saliency

    found = metrics.head_sensitivity(classifier, image, saliency, explain)
    assert record["head_sensitivity"] == pytest.approx(found, abs=1e-3)
    order = pixel_order(saliency)
    assert record["road"] == pytest.approx(road(classifier, image, target, order), abs=1e-3)
    found = adcc(classifier, image, target, saliency, record["score"], explain)
    assert record["adcc"] == pytest.approx(found, abs=1e-3)
    assert record["sparseness"] == sparseness(saliency, order)
    assert record["complexity"] == complexity(saliency)
    plain = read_records(tmp_path / "out")
    run(config(methods=["sise"]), tmp_path / "plain")
    pd.testing.assert_frame_equal(values(tmp_path / "plain"), values(tmp_path / "out"), check_exact=True)
    plain = read_records(tmp_path / "plain")
    assert plain[EXTRA].isna().all(axis=None)
    assert plain[["pointing", "average_gain", "sparseness", "complexity"]].notna().all(axis=None)
    assert plain["pointing_difficult"].notna().tolist() == [True, False, False, False]
    with pytest.raises(OutputError, match="measures"):
        run(config(methods=["sise"], extra_metrics=["insertion"]), tmp_path / "out")


def test_sharing_forwards_and_batches_change_no_metric(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    settings = {"methods": ["sise", "ada_sise"], "extra_metrics": EXTRA}
    engine = {"layout": "contiguous", "batch_size": 9}
    run(config(**settings, engine=engine), tmp_path / "alone")
    run(config(**settings, engine=engine, share_forwards=True), tmp_path / "shared")
    run(config(**settings, engine=engine | {"batch_size": 32}), tmp_path / "batch")
    alone, shared, batch = (
        read_records(tmp_path / name)[BEYOND].astype(float) for name in ("alone", "shared", "batch")
    )
    assert alone.drop(columns="pointing_difficult").notna().all(axis=None)
    pd.testing.assert_frame_equal(shared, alone, check_exact=True)
    pd.testing.assert_frame_equal(batch, alone, atol=1e-3, rtol=0)


def test_raw_outputs_have_no_average_gain(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        network, "load_classifier", lambda name, score, **_: replace(twenty_classes(name), score=score)
    )
    run(config(methods=["sise"], limit=1, score="logit"), tmp_path / "out")
    assert read_records(tmp_path / "out")["average_gain"].isna().all()


def test_only_difficult_objects_of_a_class_do_not_count_in_the_pointing_game(
    config: Callable[..., RunConfig], voc_root: Path, tmp_path: Path
) -> None:
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000003.xml"
    path.write_text(path.read_text().replace("<difficult>0", "<difficult>1"))
    run(config(methods=["sise"]), tmp_path / "out")
    records = read_records(tmp_path / "out")
    assert records["pointing"].isna().tolist() == [False, False, False, True]
    assert records["ebpg"].notna().all()


def test_a_folder_with_the_finished_records_alone_is_gone_on_from(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    run(config(), tmp_path / "out")
    whole = read_records(tmp_path / "out")
    (tmp_path / "out/records.jsonl").unlink()
    outcome = run(config(), tmp_path / "out")
    assert (outcome.computed, outcome.reused) == (0, len(whole))
    pd.testing.assert_frame_equal(read_records(tmp_path / "out"), whole)
    manifest.verify(tmp_path / "out")


@pytest.mark.parametrize("name", ["config.yaml", "environment.json", "records.parquet", "pictures.sha256"])
def test_edits_of_a_finished_folder_are_named_by_resume_and_table(
    config: Callable[..., RunConfig], tmp_path: Path, name: str
) -> None:
    run(config(limit=1), tmp_path / "out")
    path = tmp_path / "out" / name
    path.write_bytes(path.read_bytes() + b"\n")
    for read in (lambda: run(config(limit=1), tmp_path / "out"), lambda: load_run(tmp_path / "out")):
        with pytest.raises(DataError, match=rf"{name}: was changed after the run had finished"):
            read()


@pytest.mark.parametrize("left", ["records.jsonl", "records.parquet"])
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"ebpg": 25000.0}, "ebpg is 25000, and can only be within 0 and 100"),
        ({"weights": "deadbeef0000"}, "weights is deadbeef0000, while environment.json says"),
    ],
)
def test_impossible_records_of_a_folder_without_checksums_are_named(
    config: Callable[..., RunConfig], tmp_path: Path, left: str, change: dict[str, Any], problem: str
) -> None:
    """As an earlier version wrote it: no manifest, and lines without a checksum."""
    folder = tmp_path / "out"
    run(config(limit=1), folder)
    (folder / MANIFEST).unlink()
    first, *others = pq.read_table(folder / "records.parquet").to_pylist()
    rows = [first | change, *others]
    for name in ("records.jsonl", "records.parquet"):
        (folder / name).unlink()
    if left == "records.jsonl":
        (folder / left).write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / left)
    for read in (lambda: run(config(limit=1), folder), lambda: load_run(folder)):
        with pytest.raises(DataError, match=problem) as caught:
            read()
        assert str(folder / left) in str(caught.value)


def test_other_classes_of_a_network_or_the_data_are_other_runs(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(limit=1), tmp_path / "out")
    classifier = twenty_classes()
    turned = replace(classifier, classes=(*classifier.classes[1:], classifier.classes[0]))
    monkeypatch.setattr(network, "load_classifier", lambda name, **settings: turned)
    with pytest.raises(OutputError, match=r"models\.resnet50\.classes\.0: aeroplane -> bicycle"):
        run(config(limit=1), tmp_path / "out")


def test_folders_that_tell_no_classes_are_gone_on_from(
    config: Callable[..., RunConfig], tmp_path: Path
) -> None:
    run(config(limit=1), tmp_path / "out")
    path = tmp_path / "out/environment.json"
    (tmp_path / "out" / MANIFEST).unlink()
    facts = json.loads(path.read_text())
    del facts["data"]["classes"], facts["models"]["resnet50"]["classes"]
    path.write_text(json.dumps(facts))
    assert run(config(limit=1), tmp_path / "out").computed == 0


def test_half_written_files_of_killed_workers_do_not_outlive_the_run(tmp_path: Path) -> None:
    with exclusive(tmp_path):
        (tmp_path / "maps").mkdir()
        (tmp_path / "maps/.a.npy.1.tmp").write_bytes(b"half")
    assert not list(tmp_path.rglob(".*.tmp"))


@pytest.mark.parametrize("count", [0, 1, 3, 7])
def test_the_fingerprint_is_the_hash_of_the_whole_mapping(
    monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(runner, "_HASHED_AT_ONCE", 3)
    pictures = {f'ü"{number}': f"{number:064x}" for number in range(count)}
    assert runner._fingerprint(pictures) == hashlib.sha256(json.dumps(pictures).encode()).hexdigest()
