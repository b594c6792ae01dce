"""Runs a plan: loads, explains, measures and records, resuming where an earlier session stopped."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from adasise_bench import environment, run_folder
from adasise_bench.config import RunConfig
from adasise_bench.data.boxes import box_mask
from adasise_bench.data.transforms import to_input
from adasise_bench.data.voc import FULL_SETS, Annotation
from adasise_bench.errors import BenchError, DataError
from adasise_bench.measure import explain_and_measure, failed
from adasise_bench.models import ARCHITECTURES, load_classifier
from adasise_bench.models.classifier import Classifier
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
    device = environment.pick_device(config.device)
    plan = make_plan(config)
    classifiers = [_load(config, name, device) for name in config.models]
    if not resume and folder.exists():
        with run_folder.exclusive(folder):
            run_folder.move_aside(folder)
    with run_folder.exclusive(folder):
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


def _load(config: RunConfig, name: str, device: torch.device) -> Classifier:
    model = config.models[name]
    return load_classifier(
        name,
        checkpoint=model.checkpoint,
        sha256=model.sha256,
        blocks=model.blocks,
        resize=config.data.resize,
        score=config.score,
        precision=config.precision,
        device=device,
    )


def _facts(
    plan: Plan, classifiers: list[Classifier], device: torch.device, pictures: dict[str, str]
) -> dict[str, Any]:
    config = plan.config
    listed = (len(plan.dataset.images), None)
    full = FULL_SETS.get((config.data.year, config.data.image_set), listed)
    full_images, full_pairs = listed if config.data.embedded else full
    return environment.describe(device, config.precision) | {
        "models": {
            classifier.name: {
                "weights_file": classifier.weights.file,
                "weights_sha256": classifier.weights.sha256,
                "published": classifier.weights.published,
                "maps_available": list(ARCHITECTURES[classifier.name].maps),
            }
            for classifier in classifiers
        },
        "data": {
            "name": plan.dataset.name,
            "fingerprint": hashlib.sha256(json.dumps(pictures).encode()).hexdigest(),
            "images": len(plan.annotations),
            "pairs": len(plan.pairs),
            "embedded": config.data.embedded,
            "full_images": full_images,
            "full_pairs": full_pairs,
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


def _records(plan: Plan, classifier: Classifier, todo: set[Key], folder: Path) -> Iterator[list[Record]]:
    """The missing records of one model: one at a time, or all of a picture that cannot be used."""
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
    cold = True
    for image_id, loaded in _load_ahead(plan, wanted):
        requests = wanted[image_id]
        if isinstance(loaded, DataError):
            yield [failed(key, classifier, str(loaded)) for _, key in requests]
            continue
        annotation, image = loaded[0], loaded[1].to(classifier.device)
        if cold:
            _warm_up(config, classifier, image)
            cold = False
        for method, key in requests:
            boxes = [box for box in annotation.boxes if box.class_name == key.class_name]
            inside = box_mask(boxes, annotation.picture_size, (image.shape[2], image.shape[3]))
            try:
                record, saliency = explain_and_measure(
                    classifier, method, key, image, inside.to(classifier.device), config.batch_size
                )
            except BenchError as error:
                yield [failed(key, classifier, str(error))]
                continue
            if config.save_maps:
                run_folder.save_map(folder, key, saliency)
            yield [record]


def _load_ahead(
    plan: Plan, image_ids: Iterable[str]
) -> Iterator[tuple[str, tuple[Annotation, torch.Tensor] | DataError]]:
    """Annotations and network inputs in order, decoded by a background thread while others are explained."""

    def load(image_id: str) -> tuple[Annotation, torch.Tensor] | DataError:
        annotation = plan.annotations[image_id]
        if isinstance(annotation, DataError):
            return annotation
        try:
            picture = plan.dataset.picture(image_id, annotation)
        except DataError as error:
            return error
        return annotation, to_input(picture, plan.config.data.resize, plan.config.data.input_size)

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
    classifier.scores(image.expand(config.batch_size, -1, -1, -1))
    classifier.block_maps(image, 0)
    for method in config.methods:
        for _ in range(config.timing.warmup):
            with suppress(BenchError):  # what fails here fails again, and is recorded, when it counts
                method.explain(classifier, image, 0, config.batch_size, PhaseClock(classifier.device))
