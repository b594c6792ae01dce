"""The network that a configuration asks for, ready to explain with."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import torch

from adasise_bench import engine_cache, environment
from adasise_bench.config import RunConfig
from adasise_bench.data.dataset import Dataset
from adasise_bench.determinism import ENGINES
from adasise_bench.errors import ConfigError
from adasise_bench.models import ARCHITECTURES, load_classifier
from adasise_bench.models.batching import BatchSize, torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.pooling import with_repeatable_pooling
from adasise_bench.models.tuning import tune


def load(config: RunConfig, name: str, device: torch.device) -> Classifier:
    """Load one of the configuration's models, which all its methods can explain.

    Raises:
        ConfigError: a method cannot explain this network.
        WeightsError: missing, altered or unfitting weights.
    """
    model = config.models[name]
    classifier = load_classifier(
        name,
        data=config.data.kind,
        checkpoint=model.checkpoint,
        sha256=model.sha256,
        blocks=model.blocks,
        resize=config.data.resize,
        score=config.score,
        precision=config.precision,
        device=device,
    )
    if config.deterministic:
        with_repeatable_pooling(classifier.module)
    side = config.data.input_size
    width = side if config.data.resize == "stretch" else side * 3 // 2
    noise = torch.randn(1, 3, side, width, generator=torch.Generator().manual_seed(0)).mul_(60).to(device)
    with torch_failures():
        for method in config.methods:
            method.check(classifier, noise)
    return classifier


def refuse_other_classes(classifier: Classifier, dataset: Dataset) -> None:
    """Refuse a network that has no output for one of the data set's classes.

    Raises:
        ConfigError: it is such a network.
    """
    unknown = [name for name in dataset.classes if name not in classifier.classes]
    if unknown:
        raise ConfigError(
            f"models.{classifier.name}: has no class {unknown[0]!r} of {dataset.name} "
            f"({len(unknown)} of {len(dataset.classes)} unknown); "
            "choose a network that was trained on them"
        )


def with_engine(config: RunConfig, classifier: Classifier, earlier: Engine | None = None) -> Classifier:
    """Run the network as configured, else as ``earlier``, else as is fastest here.

    A deterministic run measures nothing: it takes its device's fixed engine and never shrinks its batch.
    """
    wanted, side = config.engine, config.data.input_size
    key = (classifier.name, config.precision, side, *environment.machine(classifier.device))
    known = ENGINES[classifier.device.type] if config.deterministic else earlier or engine_cache.recall(key)
    engine = tune(
        classifier,
        torch.zeros(1, 3, side, side, device=classifier.device),
        layout=wanted.layout or (known.layout if known else None),
        batch_size=wanted.batch_size or (known.batch_size if known else None),
        compile=wanted.compile,
    )
    if known is None and wanted.layout is None and wanted.batch_size is None:
        engine_cache.remember(key, engine)
    classifier = classifier.with_engine(engine)
    if config.deterministic:
        return replace(classifier, batch_size=BatchSize(engine.batch_size, fixed=True))
    return classifier


def facts(classifier: Classifier) -> dict[str, Any]:
    """What traces a network's numbers to its weights and the way it was run, ready for JSON."""
    return {
        "weights_file": classifier.weights.file,
        "weights_sha256": classifier.weights.sha256,
        "published": classifier.weights.published,
        "maps_available": list(ARCHITECTURES[classifier.name].maps),
        "engine": asdict(classifier.engine),
    }
