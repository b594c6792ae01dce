"""A picture of the user, what is to be explained of it, and how the network scores it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from adasise_bench.data.config import EMBEDDED, DataKind
from adasise_bench.data.pictures import Picture, read_picture
from adasise_bench.data.transforms import refuse_elongated, to_input
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.batching import torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.lost_device import named_if_lost
from adasise_bench.reporting.captions import score_text
from adasise_bench.reporting.tables import title_of
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import apply_overrides, validate
from adasise_bench.utils.devices import pick_device
from adasise_bench.utils.errors import BenchError, ConfigError
from adasise_bench.utils.settings import suggest
from adasise_bench.utils.text_tables import text_table

_SETTINGS = (
    "data.layout", "data.resize", "data.input_size",
    "models", "methods", "rules", "score", "precision", "device", "engine",
)  # fmt: skip


def explain_config(
    model: str,
    methods: Sequence[str],
    *,
    checkpoint: Path | None = None,
    sha256: str | None = None,
    device: str | None = None,
    overrides: Sequence[str] = (),
) -> RunConfig:
    """A run's configuration for one model and the methods, with the defaults that ``run`` has.

    Args:
        model: architecture.
        methods: names of methods.
        checkpoint: local file instead of the published or shipped weights.
        sha256: start of its SHA-256.
        device: as in a configuration.
        overrides: as :func:`adasise_bench.run.config_file.apply_overrides` takes them.

    Raises:
        ConfigError: one line naming what is unknown or impossible.
    """
    known = ARCHITECTURES.get(model)
    if known is None and not any(override.startswith(f"models.{model}.source=") for override in overrides):
        raise ConfigError(
            f"--model: no model {model!r}{suggest(model, ARCHITECTURES)} "
            f"(a model of your own needs --set models.{model}.source=...)"
        )
    for override in overrides:
        key = override.partition("=")[0]
        if not f"{key}.".startswith(tuple(f"{setting}." for setting in _SETTINGS)):
            raise ConfigError(f"--set {key}: not a setting for explaining a picture{suggest(key, _SETTINGS)}")
    data: dict[str, Any] = {"input_size": known.input_size} if known else {}
    if known and list(known.classes) == ["scenes"]:
        data["root"] = EMBEDDED
    tree: dict[str, Any] = {
        "data": data,
        "models": {model: {"checkpoint": checkpoint, "sha256": sha256}},
        "methods": list(methods),
        "device": device or "auto",
    }
    apply_overrides(tree, overrides)
    config = validate(tree, "explain")
    if list(config.models) != [model]:
        raise ConfigError(f"--set models: one model is explained at a time, here {model}; see --model")
    refuse_regions(config, "--methods")
    return config


def refuse_regions(config: RunConfig, setting: str) -> None:
    """Refuse methods that look at the boxes of a class.

    Raises:
        ConfigError: names the method and the setting that asked for it.
    """
    for method in config.methods:
        if method.needs_region:
            raise ConfigError(f"{setting}: {method.name} needs the class's boxes, which are not known here")


@dataclass(frozen=True)
class Subject:
    """A picture, the network that explains it, and its scores.

    Attributes:
        path: its file.
        picture: what the file holds.
        config: how it is explained.
        classifier: the network, ready to explain.
        image: (1, 3, H, W) float32 network input on the classifier's device.
        scores: Ψ of every class, highest first.
        classes: the classes to explain.
    """

    path: Path
    picture: Picture
    config: RunConfig
    classifier: Classifier
    image: torch.Tensor
    scores: dict[str, float]
    classes: tuple[str, ...]

    def ranking(self, top: int) -> str:
        """Rank, name and Ψ of the ``top`` classes and of those that are explained, one line each."""
        rows = (
            (rank, name, score_text(score))
            for rank, (name, score) in enumerate(self.scores.items(), 1)
            if rank <= top or name in self.classes
        )
        return text_table("rlr", rows)

    def notes(self) -> Iterator[str]:
        """What a reader must know about the explanation, one line each."""
        if self.picture.animated:
            yield f"{self.path.name}: holds several frames; the first is explained"
        if not self.classifier.weights.published:
            yield self.weights_note()

    def weights_note(self) -> str:
        """Which network and weights these are."""
        return weights_note(self.classifier, self.config.data.kind)


def weights_note(classifier: Classifier, data: DataKind) -> str:
    """Which network and weights these are, and for which kind of data the network is."""
    weights, title = classifier.weights, title_of(classifier.name)
    if data == "coco":
        title = f"{title} for COCO"
    elif data == "scenes":
        title = f"{title} (for drawn scenes; it says nothing about photographs)"
    kind = "TorchRay's published weights" if weights.published else "not the published weights"
    return f"{title}, {kind}: {weights.file}, SHA-256 {weights.sha256[:12]}"


def open_subject(path: Path, config: RunConfig, classes: Sequence[str] = ()) -> Subject:
    """Read the picture, load the network and score the picture.

    Args:
        path: picture file.
        config: as :func:`explain_config` makes it.
        classes: names of the classes to explain; by default the one with the highest score.

    Raises:
        ConfigError: the network has no such class.
        DataError: the picture cannot be used.
        WeightsError: missing, altered or unfitting weights.
        DeviceError: no such device.
        BenchError: scores that are not finite.
    """
    device = pick_device(config.device)
    picture = read_picture(path)
    refuse_elongated(path, picture.image.size, config.data.resize, config.data.input_size)
    classifier = network.load(config, next(iter(config.models)), device)
    _refuse_unknown(classes, classifier)
    return scored(path, picture, config, network.with_engine(config, classifier), classes)


def scored(
    path: Path, picture: Picture, config: RunConfig, classifier: Classifier, classes: Sequence[str] = ()
) -> Subject:
    """Score a picture with a network that is loaded already.

    Args:
        path: the picture's name in messages.
        picture: what is explained.
        config, classes: as for :func:`open_subject`.
        classifier: the network, as the configuration asks for it.

    Raises:
        ConfigError: the network has no such class.
        DataError: the picture is too elongated.
        BenchError: scores that are not finite.
    """
    mode, side = config.data.resize, config.data.input_size
    refuse_elongated(path, picture.image.size, mode, side)
    _refuse_unknown(classes, classifier)
    image = to_input(picture.image, mode, side, classifier.preprocessing).to(classifier.device)
    with named_if_lost(classifier.device), torch_failures():
        values = classifier.reference_scores(image)[0].tolist()
    if not all(map(math.isfinite, values)):
        raise BenchError(f"{path}: the scores are not finite")
    scored = zip(classifier.classes, values, strict=True)
    scores = dict(sorted(scored, key=lambda entry: entry[1], reverse=True))
    chosen = tuple(dict.fromkeys(classes)) or (next(iter(scores)),)
    return Subject(path, picture, config, classifier, image, scores, chosen)


def _refuse_unknown(classes: Sequence[str], classifier: Classifier) -> None:
    for name in classes:
        if name not in classifier.classes:
            raise ConfigError(
                f"--class: {classifier.name} has no {name!r}{suggest(name, classifier.classes)}"
            )
