"""Makes records on one device: loads pictures and networks, explains, and computes the metrics."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import torch

from adasise_bench.data.dataset import Annotation, Dataset
from adasise_bench.data.difficult import is_difficult
from adasise_bench.data.transforms import Preprocessing, refuse_elongated, to_input
from adasise_bench.methods import Method, Request
from adasise_bench.metrics.chance import pair_levels
from adasise_bench.models.batching import torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.tuning import Yardstick
from adasise_bench.records import environment
from adasise_bench.records.maps import save_map
from adasise_bench.records.record import Key, Record
from adasise_bench.run import network
from adasise_bench.run.classification import Classification
from adasise_bench.run.config import RunConfig
from adasise_bench.run.measure import Truth, explain_and_measure, failed, measured
from adasise_bench.run.plan import Plan
from adasise_bench.utils.determinism import pair_seed
from adasise_bench.utils.errors import BenchError, DataError
from adasise_bench.utils.timing import PhaseClock

_LOOKAHEAD = 4


class Worker:
    """The networks of a run on one device, with which records are made.

    Args:
        config: the run.
        device: the device of the networks.
        folder: the run folder, in which maps are saved.
        dataset: the pictures, whose classes the networks must know.
        pictures: number of pictures of the run, for which it may pay to measure how to run the networks;
            ``None``: too few.

    Raises:
        ConfigError: a network that does not fit the data or a method.
        WeightsError: missing, altered or unfitting weights.
    """

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        folder: Path,
        dataset: Dataset,
        pictures: int | None,
    ) -> None:
        self._config, self._device, self._folder = config, device, folder
        one_shape = config.data.resize == "stretch"
        times_kernels = device.type == "cuda" and one_shape and not config.deterministic
        self._classifiers = {
            name: replace(network.load(config, name, device, dataset.classes), times_kernels=times_kernels)
            for name in config.models
        }
        for classifier in self._classifiers.values():
            network.refuse_missing_classes(classifier, dataset)
        self._pictures = pictures
        self._warm: set[str] = set()
        self._yardsticks: dict[str, Yardstick] = {}

    def prepare(self, engines: Mapping[str, Engine]) -> dict[str, Any]:
        """Choose how the networks are run, and return what the records depend on, ready for JSON.

        Args:
            engines: how to run each model; for models that are missing, the fastest way is measured.
        """
        for name, classifier in self._classifiers.items():
            classifier = network.with_engine(self._config, classifier, engines.get(name), self._pictures)
            self._classifiers[name], self._yardsticks[name] = classifier, Yardstick(classifier)
        classifiers = list(self._classifiers.values())
        definitions = network.definitions(self._config.methods, classifiers, self._config.rules)
        return environment.describe(self._device, self._config.precision, definitions) | {
            "deterministic": self._config.deterministic,
            "models": {name: network.facts(classifier) for name, classifier in self._classifiers.items()},
        }

    def records(
        self, plan: Plan, model: str, todo: Container[Key], digests: Mapping[str, str]
    ) -> Iterator[list[Record]]:
        """Make the records of one model that are in ``todo``; maps are saved before their records come.

        Args:
            plan: pictures and annotations to go through, in order.
            model: the network's name.
            todo: the wanted keys.
            digests: SHA-256 of every picture with its annotation when the run began; if a picture has changed
                since, its records are errors that say so.
        """
        yardstick = self._yardsticks[model]
        return _records(plan, self._classifiers[model], todo, digests, self._folder, self._warm, yardstick)


class _Picture(NamedTuple):
    """A picture as one network takes it. What several of its records need is computed once, when asked for.

    Attributes:
        annotation: the picture's objects.
        image: (1, 3, H, W) network input on the network's device.
        scores: gives Ψ of every output for the whole picture.
        chance: gives what maps get on a class that do not look at the picture, by the record's columns.
        classification: gives how the network classifies the picture.
    """

    annotation: Annotation
    image: torch.Tensor
    scores: Callable[[], torch.Tensor]
    chance: Callable[[str], Mapping[str, float]]
    classification: Callable[[], Classification]

    @classmethod
    def of(cls, plan: Plan, classifier: Classifier, annotation: Annotation, image: torch.Tensor) -> _Picture:
        """Nothing is computed yet."""
        scores = cache(partial(_scores, classifier, image))
        chance = cache(partial(_chance, plan, annotation, (image.shape[2], image.shape[3])))
        classification = cache(partial(_classification, plan, classifier, annotation, scores))
        return cls(annotation, image, scores, chance, classification)


class _Task(NamedTuple):
    """A wanted record, what to explain for it, and what its metrics need."""

    key: Key
    request: Request
    truth: Truth


def _records(
    plan: Plan,
    classifier: Classifier,
    todo: Container[Key],
    digests: Mapping[str, str],
    folder: Path,
    warm: set[str],
    yardstick: Yardstick,
) -> Iterator[list[Record]]:
    """The missing records of one model, as they are made."""
    config = plan.config

    def wanted(image_id: str) -> list[tuple[Method, Key]]:
        return [
            (method, key)
            for method in config.methods
            for class_name in plan.class_names(image_id)
            if (key := Key(classifier.name, method.label, image_id, class_name)) in todo
        ]

    waiting: dict[tuple[str, torch.Size], list[_Task]] = {}
    image_ids = filter(wanted, plan.annotations)
    for image_id, loaded in load_ahead(plan, image_ids, digests, classifier.preprocessing):
        if isinstance(loaded, DataError):
            yield [failed(key, classifier, str(loaded)) for _, key in wanted(image_id)]
            continue
        annotation, image = loaded[0], loaded[1].to(classifier.device)
        if classifier.name not in warm:
            _warm_up(config, classifier, image)
            warm.add(classifier.name)
        picture = _Picture.of(plan, classifier, annotation, image)
        tasks = [_task(plan, classifier, method, key, picture) for method, key in wanted(image_id)]
        if timed := [task for task in tasks if _is_timed(task, config)]:
            plain = _plain_seconds(yardstick, image)
            for task in timed:
                yield [_alone(classifier, task, plain, config, folder)]
        for task in tasks:
            if _is_timed(task, config):
                continue
            waiting.setdefault((task.request.method.group, image.shape), []).append(task)
        for queue in waiting.values():
            while chunk := _next_chunk(queue, classifier):
                yield _together(classifier, chunk, config, folder)
    for queue in waiting.values():
        if queue:
            yield _together(classifier, queue, config, folder)


def _is_timed(task: _Task, config: RunConfig) -> bool:
    """Whether the explanation is made alone, and its run-time recorded."""
    return task.request.method.makes_maps and not config.share_forwards


def _task(plan: Plan, classifier: Classifier, method: Method, key: Key, picture: _Picture) -> _Task:
    annotation, image = picture.annotation, picture.image
    class_name, dataset = str(key.class_name), plan.dataset
    number = dataset.classes.index(class_name)
    difficult = is_difficult(dataset.name, key.image_id, number)
    # By its key alone, so that it does not matter which session or worker makes the record.
    whole = method.label == plan.config.methods[0].label and class_name == annotation.class_names[0]
    return _Task(
        key,
        Request(
            method,
            image,
            classifier.classes.index(class_name),
            pair_seed(plan.config.seed, key.image_id, class_name, key.method),
            annotation.inside(class_name, (image.shape[2], image.shape[3])),
            key.image_id,
        ),
        Truth(
            annotation,
            difficult,
            picture.scores,
            picture.chance(class_name),
            lambda: picture.classification().columns(number, whole=whole),
            plan.config.rules.ties,
        ),
    )


def _chance(
    plan: Plan, annotation: Annotation, shape: tuple[int, int], class_name: str
) -> Mapping[str, float]:
    """What maps get on a class that do not look at the picture; all methods share it."""
    return pair_levels(annotation.inside(class_name, shape), plan.config.rules.ties)


def _scores(classifier: Classifier, image: torch.Tensor) -> torch.Tensor:
    return classifier.reference_scores(image)[0]


def _classification(
    plan: Plan, classifier: Classifier, annotation: Annotation, scores: Callable[[], torch.Tensor]
) -> Classification:
    return Classification.of(scores(), classifier.classes, plan.dataset.classes, annotation)


def _next_chunk(queue: list[_Task], classifier: Classifier) -> list[_Task]:
    """Take what can be explained together off the queue, or nothing if it pays to wait for more."""
    if not queue:
        return []
    size = queue[0].request.method.requests_at_once(classifier.batch_size.with_gradients.value) or len(queue)
    if len(queue) < size:
        return []
    chunk = queue[:size]
    del queue[:size]
    return chunk


def _plain_seconds(yardstick: Yardstick, image: torch.Tensor) -> float | None:
    """Seconds of a plain forward pass; ``None`` if it fails, since the explanations will then say why."""
    try:
        with torch_failures():
            return yardstick.seconds(image)
    except BenchError:
        return None


def _alone(
    classifier: Classifier, task: _Task, plain: float | None, config: RunConfig, folder: Path
) -> Record:
    try:
        with torch_failures():
            record, saliency = explain_and_measure(
                classifier, task.request, task.key, task.truth, config.extra_metrics
            )
    except BenchError as error:
        return failed(task.key, classifier, str(error))
    if config.save_maps:
        save_map(folder, task.key, saliency)
    return replace(record, seconds_plain_forward=plain)


def _together(
    classifier: Classifier, tasks: Sequence[_Task], config: RunConfig, folder: Path
) -> list[Record]:
    """Records of tasks that are explained together; if one of them fails, each is explained alone."""
    try:
        with torch_failures():
            requests = [task.request for task in tasks]
            explanations = requests[0].method.explain_together(classifier, requests)
            records = [
                measured(
                    classifier, task.request, task.key, task.truth, explanation, {}, config.extra_metrics
                )
                for task, explanation in zip(tasks, explanations, strict=True)
            ]
    except BenchError as error:
        if len(tasks) == 1:
            return [failed(tasks[0].key, classifier, str(error))]
        return [record for task in tasks for record in _together(classifier, [task], config, folder)]
    if config.save_maps:
        for task, explanation in zip(tasks, explanations, strict=True):
            save_map(folder, task.key, explanation.saliency)
    return records


def load_ahead(
    plan: Plan, image_ids: Iterable[str], digests: Mapping[str, str | None], preprocessing: Preprocessing
) -> Iterator[tuple[str, tuple[Annotation, torch.Tensor] | DataError]]:
    """Annotations and network inputs in order, decoded by a background thread while others are used.

    Args:
        plan: pictures and annotations.
        image_ids: the pictures to load, in this order.
        digests: what each picture and its annotation must still be, see :meth:`.Dataset.digest`; ``None``
            for anything.
        preprocessing: the network's.

    Yields:
        The image id, and its annotation and (1, 3, H, W) input on the CPU, or why there is none.
    """

    def load(image_id: str) -> tuple[Annotation, torch.Tensor] | DataError:
        annotation = plan.annotations[image_id]
        if isinstance(annotation, DataError):
            return annotation
        mode, side = plan.config.data.resize, plan.config.data.input_size
        try:
            refuse_elongated(plan.dataset.images[image_id], annotation.picture_size, mode, side)
            picture = plan.dataset.picture(image_id, annotation, digests[image_id])
            if None in plan.class_names(image_id):
                return DataError(
                    f"{image_id}: the annotation could not be read when the run began, and can be now; start "
                    "a new run with --no-resume"
                )
            return annotation, to_input(picture, mode, side, preprocessing)
        except DataError as error:
            return error
        except Exception as error:  # a decoder can raise anything, and one picture must not end the run
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
    """Let libraries choose their kernels, and make the discarded explanations, before anything is timed."""
    with (
        suppress(BenchError),
        torch_failures(),
    ):  # what fails here fails again when it counts
        classifier.run_whole_batch(image)
        classifier.block_maps(image, [0])
    for method in config.methods:
        for _ in range(config.timing.warmup):
            with suppress(BenchError), torch_failures():
                everything = torch.ones(image.shape[2:], dtype=torch.bool)
                request = Request(method, image, 0, inside=everything)
                method.explain(classifier, request, PhaseClock(classifier.device))
