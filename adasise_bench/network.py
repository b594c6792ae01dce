"""The network that a configuration asks for, ready to explain with."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch

from adasise_bench import engine_cache, environment
from adasise_bench.config import RunConfig
from adasise_bench.models import ARCHITECTURES, load_classifier
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.tuning import tune


def load(config: RunConfig, name: str, device: torch.device) -> Classifier:
    """Load one of the configuration's models.

    Raises:
        WeightsError: missing, altered or unfitting weights.
    """
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


def with_engine(config: RunConfig, classifier: Classifier, earlier: Engine | None = None) -> Classifier:
    """Run the network as configured, else as ``earlier``, else as is fastest here."""
    wanted, side = config.engine, config.data.input_size
    key = (classifier.name, config.precision, side, *environment.machine(classifier.device))
    known = earlier or engine_cache.recall(key)
    engine = tune(
        classifier,
        torch.zeros(1, 3, side, side, device=classifier.device),
        layout=wanted.layout or (known.layout if known else None),
        batch_size=wanted.batch_size or (known.batch_size if known else None),
        compile=wanted.compile,
    )
    if known is None and wanted.layout is None and wanted.batch_size is None:
        engine_cache.remember(key, engine)
    return classifier.with_engine(engine)


def facts(classifier: Classifier) -> dict[str, Any]:
    """What traces a network's numbers to its weights and the way it was run, ready for JSON."""
    return {
        "weights_file": classifier.weights.file,
        "weights_sha256": classifier.weights.sha256,
        "published": classifier.weights.published,
        "maps_available": list(ARCHITECTURES[classifier.name].maps),
        "engine": asdict(classifier.engine),
    }
