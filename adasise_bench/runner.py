"""Runs a plan: loads, explains, measures and records, resuming where an earlier session stopped."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch
from tqdm import tqdm

from adasise_bench import environment, network, run_folder
from adasise_bench.config import RunConfig
from adasise_bench.data.dataset import Annotation
from adasise_bench.data.difficult import is_difficult
from adasise_bench.data.transforms import Preprocessing, refuse_elongated, to_input
from adasise_bench.determinism import deterministic, pair_seed
from adasise_bench.errors import BenchError, DataError
from adasise_bench.measure import Truth, explain_and_measure, failed, measured
from adasise_bench.methods import MethodOptions, Request
from adasise_bench.methods.own import own_definitions
from adasise_bench.models.batching import torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.yardstick import plain_forward_seconds
from adasise_bench.plan import Plan, make_plan
from adasise_bench.records import Key, Record, RecordStore
from adasise_bench.timing import PhaseClock

_LOOKAHEAD = 4


@dataclass(frozen=True)
class Outcome:
    """How many records a run made, took over from an earlier session, and counts as errors."""

    computed: int
    reused: int
    errors: int


def run(config: RunConfig, folder: Path, *, resume: bool = True) -> Outcome:
    """Explain and measure every pair of the plan, adding to what the folder already holds.

    Args:
        config: the run.
        folder: run folder, made if needed.
        resume: keep the folder's records; otherwise the folder is first moved aside.

    Raises:
        BenchError: bad data root, weights or device, or a folder that cannot be used; records already
            written stay valid, as they do after a ``KeyboardInterrupt``.
    """
    with deterministic(config.deterministic):
        return _run(config, folder, resume)


def _run(config: RunConfig, folder: Path, resume: bool) -> Outcome:
    device = environment.pick_device(config.device)
    plan = make_plan(config)
    classifiers = [network.load(config, name, device, plan.dataset.classes) for name in config.models]
    for classifier in classifiers:
        network.refuse_missing_classes(classifier, plan.dataset)
    run_folder.refuse_foreign(folder)
    if not resume and folder.exists():
        with run_folder.exclusive(folder):
            run_folder.move_aside(folder)
    with run_folder.exclusive(folder):
        engines = run_folder.engines(folder)
        classifiers = [network.with_engine(config, model, engines.get(model.name)) for model in classifiers]
        pictures = plan.dataset.digests()
        run_folder.claim(folder, config, _facts(plan, classifiers, device, pictures), pictures)
        store = RecordStore(folder)
        try:
            todo = {key for key in plan.keys if not _is_done(key, store, config, folder)}
            progress = tqdm(total=len(plan.keys), initial=len(plan.keys) - len(todo), unit="map",
                            disable=None, file=sys.stderr)  # fmt: skip
            with progress:
                for classifier in classifiers:
                    progress.set_description(classifier.name)
                    for records in _records(plan, classifier, todo, folder):
                        store.append(records)
                        progress.update(len(records))
            store.finish(plan.keys)
        finally:
            store.close()
        errors = sum(store.records[key].error is not None for key in plan.keys)
    return Outcome(len(todo), len(plan.keys) - len(todo), errors)


def _facts(
    plan: Plan, classifiers: list[Classifier], device: torch.device, pictures: dict[str, str]
) -> dict[str, Any]:
    config = plan.config
    full_images, full_pairs = plan.dataset.full_size
    definitions = own_definitions(config.methods) | network.own_definitions(classifiers)
    return environment.describe(device, config.precision, definitions) | {
        "deterministic": config.deterministic,
        "models": {classifier.name: network.facts(classifier) for classifier in classifiers},
        "data": {
            "name": plan.dataset.name,
            "fingerprint": hashlib.sha256(json.dumps(pictures).encode()).hexdigest(),
            "images": len(plan.annotations),
            "pairs": len(plan.pairs),
            "embedded": config.data.embedded,
            "full_images": full_images,
            "full_pairs": full_pairs,
            "left_out": plan.dataset.left_out,
        },
        "methods": {method.label: method.changed_options() for method in config.methods},
        "identity": config.identity(),
    }


def _is_done(key: Key, store: RecordStore, config: RunConfig, folder: Path) -> bool:
    """Errors are tried again; records whose wanted map is missing are made again."""
    record = store.records.get(key)
    if record is None or record.error is not None:
        return False
    return not config.save_maps or run_folder.map_path(folder, key).exists()


class _Task(NamedTuple):
    """A wanted record, what to explain for it, and what to hold the map against."""

    key: Key
    request: Request
    truth: Truth


def _records(plan: Plan, classifier: Classifier, todo: set[Key], folder: Path) -> Iterator[list[Record]]:
    """The missing records of one model, as they are made."""
    config = plan.config
    wanted = {
        image_id: [
            (method, key)
            for method in config.methods
            for class_name in plan.class_names(image_id)
            if (key := Key(classifier.name, method.label, image_id, class_name)) in todo
        ]
        for image_id in plan.annotations
    }
    wanted = {image_id: requests for image_id, requests in wanted.items() if requests}
    waiting: dict[tuple[str, torch.Size], list[_Task]] = {}
    warm = False
    for image_id, loaded in _load_ahead(plan, wanted, classifier.preprocessing):
        if isinstance(loaded, DataError):
            yield [failed(key, classifier, str(loaded)) for _, key in wanted[image_id]]
            continue
        annotation, image = loaded[0], loaded[1].to(classifier.device)
        if not warm:
            _warm_up(config, classifier, image)
            warm = True
        tasks = [_task(plan, classifier, method, key, annotation, image) for method, key in wanted[image_id]]
        if not config.share_forwards:
            plain = _plain_seconds(classifier, image)
            for task in tasks:
                yield [_alone(classifier, task, plain, config, folder)]
            continue
        for task in tasks:
            waiting.setdefault((task.request.method.group, image.shape), []).append(task)
        for queue in waiting.values():
            while chunk := _next_chunk(queue, classifier):
                yield _together(classifier, chunk, config, folder)
    for queue in waiting.values():
        if queue:
            yield _together(classifier, queue, config, folder)


def _task(
    plan: Plan,
    classifier: Classifier,
    method: MethodOptions,
    key: Key,
    annotation: Annotation,
    image: torch.Tensor,
) -> _Task:
    class_name, dataset = str(key.class_name), plan.dataset
    return _Task(
        key,
        Request(
            method,
            image,
            classifier.classes.index(class_name),
            pair_seed(plan.config.seed, key.image_id, class_name, key.method),
            annotation.inside(class_name, (image.shape[2], image.shape[3])).to(classifier.device),
        ),
        Truth(annotation, is_difficult(dataset.name, key.image_id, dataset.classes.index(class_name))),
    )


def _next_chunk(queue: list[_Task], classifier: Classifier) -> list[_Task]:
    """Take what can be explained together off the queue, or nothing while more is worth waiting for."""
    if not queue:
        return []
    size = queue[0].request.method.requests_at_once(classifier.batch_size.value) or len(queue)
    if len(queue) < size:
        return []
    chunk = queue[:size]
    del queue[:size]
    return chunk


def _plain_seconds(classifier: Classifier, image: torch.Tensor) -> float | None:
    """The yardstick of a picture's run-times; ``None`` where its own explanations will say what is wrong."""
    try:
        with torch_failures():
            return plain_forward_seconds(classifier, image)
    except BenchError:
        return None


def _alone(
    classifier: Classifier, task: _Task, plain: float | None, config: RunConfig, folder: Path
) -> Record:
    try:
        with torch_failures():
            record, saliency = explain_and_measure(
                classifier, task.request, task.key, task.truth, config.measures
            )
    except BenchError as error:
        return failed(task.key, classifier, str(error))
    if config.save_maps:
        run_folder.save_map(folder, task.key, saliency)
    return replace(record, seconds_plain_forward=plain)


def _together(
    classifier: Classifier, tasks: Sequence[_Task], config: RunConfig, folder: Path
) -> list[Record]:
    """Records of tasks explained together; each alone if one of them fails."""
    try:
        with torch_failures():
            requests = [task.request for task in tasks]
            explanations = requests[0].method.explain_together(classifier, requests)
            records = [
                measured(classifier, task.request, task.key, task.truth, explanation, {}, config.measures)
                for task, explanation in zip(tasks, explanations, strict=True)
            ]
    except BenchError as error:
        if len(tasks) == 1:
            return [failed(tasks[0].key, classifier, str(error))]
        return [record for task in tasks for record in _together(classifier, [task], config, folder)]
    if config.save_maps:
        for task, explanation in zip(tasks, explanations, strict=True):
            run_folder.save_map(folder, task.key, explanation.saliency)
    return records


def _load_ahead(
    plan: Plan, image_ids: Iterable[str], preprocessing: Preprocessing
) -> Iterator[tuple[str, tuple[Annotation, torch.Tensor] | DataError]]:
    """Annotations and network inputs in order, decoded by a background thread while others are explained."""

    def load(image_id: str) -> tuple[Annotation, torch.Tensor] | DataError:
        annotation = plan.annotations[image_id]
        if isinstance(annotation, DataError):
            return annotation
        mode, side = plan.config.data.resize, plan.config.data.input_size
        try:
            refuse_elongated(plan.dataset.images[image_id], annotation.picture_size, mode, side)
            return annotation, to_input(plan.dataset.picture(image_id, annotation), mode, side, preprocessing)
        except DataError as error:
            return error
        except Exception as error:  # a decoder can fail in any way; one picture must not end the run
            path = plan.dataset.images[image_id]
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            return DataError(f"{path}: cannot load the picture: {reason}")

    with ThreadPoolExecutor(1) as pool:
        remaining = iter(image_ids)
        ahead: list[tuple[str, Future[tuple[Annotation, torch.Tensor] | DataError]]] = []
        try:
            while True:
                ahead += [(i, pool.submit(load, i)) for i in islice(remaining, _LOOKAHEAD - len(ahead))]
                if not ahead:
                    return
                image_id, future = ahead.pop(0)
                yield image_id, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _warm_up(config: RunConfig, classifier: Classifier, image: torch.Tensor) -> None:
    """Let libraries pick their kernels, and run the discarded explanations, before anything is timed."""
    with (
        suppress(BenchError),
        torch_failures(),
    ):  # what fails here fails again when it counts
        while classifier.batch_size.attempt(partial(_whole_batch, classifier, image)) is None:
            pass
        classifier.block_maps(image, [0])
    for method in config.methods:
        for _ in range(config.timing.warmup):
            with suppress(BenchError), torch_failures():
                everything = torch.ones(image.shape[2:], dtype=torch.bool, device=image.device)
                request = Request(method, image, 0, inside=everything)
                method.explain(classifier, request, PhaseClock(classifier.device))


def _whole_batch(classifier: Classifier, image: torch.Tensor) -> torch.Tensor:
    return classifier.scores(classifier.empty_batch(image).copy_(image))
