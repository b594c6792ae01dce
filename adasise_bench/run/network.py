"""The network that a configuration asks for, ready to explain with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import torch
from torch import nn

from adasise_bench.data import Dataset
from adasise_bench.data.loading import usual_classes
from adasise_bench.data.rules import PROTOCOL, Rules
from adasise_bench.methods import METHODS, Method
from adasise_bench.methods.custom.custom import custom_definitions
from adasise_bench.metrics import registry
from adasise_bench.metrics.registry import scored_inputs
from adasise_bench.models import custom, engine_cache, load_classifier
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.backends import BACKENDS, CHOICES
from adasise_bench.models.batching import BatchSize, torch_failures
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.config import CustomModel, ModelConfig
from adasise_bench.models.engine import ENGINES, BackendName, Engine
from adasise_bench.models.function_check import refuse_random_numbers
from adasise_bench.models.tuning import backends_to_try, tune
from adasise_bench.models.workload import GradientPasses, Workload
from adasise_bench.run.config import RunConfig
from adasise_bench.utils.devices import machine
from adasise_bench.utils.errors import ConfigError
from adasise_bench.utils.precision import PrecisionName, arithmetic
from adasise_bench.utils.process_state import seeded
from adasise_bench.utils.settings import suggest


def load(
    config: RunConfig,
    name: str,
    device: torch.device,
    classes: tuple[str, ...] | None = None,
    *,
    with_weights: bool = True,
    module: nn.Module | None = None,
) -> Classifier:
    """Load one of the configuration's models, which all its methods can explain.

    Args:
        config: the run.
        name: of the model.
        device: the device on which it will be.
        classes: the classes of the data, which are also those of the outputs of a network of the user's own
            unless it says otherwise; by default, those of the set that the configuration names.
        with_weights: otherwise weights are random where they do not come with the tool, so that nothing is
            downloaded or read; what is built then shows how a run would go, and explains nothing.
        module: a network that was built already; the model's ``source`` then only says what it is. A copy
            is used.

    Raises:
        ConfigError: a network of the user's own that cannot be used as configured, or one that a method
            cannot explain.
        WeightsError: missing, altered or unfitting weights.
        DeviceError: memory does not suffice.
    """
    with seeded(0, device), torch_failures():
        return _load(config, name, device, classes, with_weights, module)


def _load(
    config: RunConfig,
    name: str,
    device: torch.device,
    classes: tuple[str, ...] | None,
    with_weights: bool,
    given: nn.Module | None,
) -> Classifier:
    """As :func:`load`, which sets the seed of random numbers that foreign code may draw."""
    model = config.models[name] if with_weights else config.models[name].without_weights()
    if isinstance(model, CustomModel):
        classifier = custom.load(
            name,
            model,
            data_classes=classes or usual_classes(config.data),
            input_size=config.data.input_size,
            resize=config.data.resize,
            score=config.score,
            precision=config.precision,
            device=device,
            deterministic=config.deterministic,
            module=given,
        )
    else:
        classifier = _load_known(config, name, model, device, with_weights)
    preprocessing = classifier.preprocessing.by_rule(config.rules.preprocessing)
    classifier = replace(classifier, preprocessing=preprocessing)
    if config.deterministic:
        with arithmetic("fp32", device):
            refuse_random_numbers(f"models.{name}", classifier.module, _noise(config, device))
    _check_methods(config, classifier)
    return classifier


def check_methods(config: RunConfig, classifier: Classifier) -> None:
    """Refuse a network that one of the configuration's methods cannot explain.

    Raises:
        ConfigError: one line naming the method or option, the network, and the cure.
        DeviceError: memory does not suffice.
    """
    with seeded(0, classifier.device), torch_failures():
        _check_methods(config, classifier)


def _check_methods(config: RunConfig, classifier: Classifier) -> None:
    noise = _noise(config, classifier.device)
    with arithmetic("fp32", classifier.device):
        for method in config.methods:
            method.check(classifier, noise * classifier.preprocessing.scale / 4)


def _noise(config: RunConfig, device: torch.device) -> torch.Tensor:
    """A (1, 3, H, W) input of noise, not a square where the pictures' inputs are none."""
    side = config.data.input_size
    width = side if config.data.resize == "stretch" else side * 3 // 2
    return torch.randn(1, 3, side, width, generator=torch.Generator().manual_seed(0)).to(device)


def _load_known(
    config: RunConfig, name: str, model: ModelConfig, device: torch.device, with_weights: bool
) -> Classifier:
    return load_classifier(
        name,
        data=config.data.kind,
        checkpoint=model.checkpoint,
        sha256=model.sha256,
        blocks=model.blocks,
        resize=config.data.resize,
        score=config.score,
        precision=config.precision,
        device=device,
        deterministic=config.deterministic,
        with_weights=with_weights,
    )


def refuse_missing_classes(classifier: Classifier, dataset: Dataset) -> None:
    """Refuse a network that does not know every class of the data.

    Raises:
        ConfigError: names the first class that it has no output for.
    """
    unknown = [name for name in dataset.classes if name not in classifier.classes]
    if unknown:
        nearest = suggest(unknown[0], classifier.classes[:20])
        raise ConfigError(
            f"models.{classifier.name}: no output for {unknown[0]!r}, a class of {dataset.name} "
            f"({len(unknown)} of {len(dataset.classes)} unknown){nearest}; "
            "choose a network that was trained on them, or name its outputs in `classes`"
        )


_ALIKE = 6
"""Digits of the number of forward passes from which it no longer decides which engine is remembered."""


def with_engine(
    config: RunConfig, classifier: Classifier, earlier: Engine | None = None, pictures: int | None = None
) -> Classifier:
    """Run the network as configured, else as ``earlier``, else as is fastest here.

    A deterministic run measures nothing: it takes its device's fixed engine and never shrinks its batch.
    Where the backend cannot run the network, or computes something else, torch does.

    Args:
        config: the run.
        classifier: the network.
        earlier: how it was run before, which what the configuration leaves open keeps to.
        pictures: how many will be explained, with each method; ``None``: too few to be measured for.

    Raises:
        ConfigError: the backend that is asked for, or was used before, is not installed or cannot run here.
    """
    wanted, side = config.engine, config.data.input_size
    workload = Workload() if pictures is None else _workload(config, classifier, pictures)
    device, precision = classifier.device, config.precision
    backends = backends_to_try(wanted.backend, device, precision, workload)
    built_by = classifier.definition or classifier.name
    tried = [f"{name} {BACKENDS[name].libraries(precision)}" for name in backends]
    fixed = wanted.layout, wanted.batch_size
    # What repays itself depends on it; a short run's choice must not become that of a long one.
    length = f"1e{min(len(str(int(workload.passes))), _ALIKE)}"
    gradients = [f"{passes.inputs} gradients by {passes.at_once}" for passes in workload.gradients]
    key = (built_by, precision, side, *fixed, *machine(device), *tried, *workload.counts, *gradients, length)
    known = ENGINES[device.type] if config.deterministic else earlier or engine_cache.recall(key)
    if known is not None and known.backend in CHOICES[wanted.backend]:
        if known is earlier:
            _refuse_missing_backend(known.backend, device, precision)
        if known.backend in backends or known is earlier:
            backends = (known.backend,)
    layout = wanted.layout or (known.layout if known else None)
    if len(classifier.layouts) == 1:
        layout = classifier.layouts[0]
    image = torch.zeros(1, 3, side, side, device=device)
    engine = tune(
        classifier,
        image,
        layout=layout,
        batch_size=wanted.batch_size or (known.batch_size if known else None),
        backends=backends,
        workload=workload,
    )
    if known is None:
        engine_cache.remember(key, engine)
    classifier = _prepared(classifier.with_engine(engine), image, workload.gradients)
    if config.deterministic:
        return replace(classifier, batch_size=BatchSize(engine.batch_size, fixed=True))
    return classifier


def _workload(config: RunConfig, classifier: Classifier, pictures: int) -> Workload:
    """What the run's methods and metrics will ask of the network, for one class of every picture."""
    available = classifier.maps or ARCHITECTURES[classifier.name].maps
    counts: list[range] = []
    for method in config.methods:
        own = method.on_network(classifier.name).scored_inputs(available)
        counts += [own, *scored_inputs(config.extra_metrics, config.data.input_size, own)]
    gradients = filter(None, [method.gradient_passes() for method in config.methods])
    return Workload(tuple(filter(None, counts)), pictures, tuple(gradients))


def _refuse_missing_backend(name: BackendName, device: torch.device, precision: PrecisionName) -> None:
    """Refuse to go on with a run whose backend is not here any more.

    Raises:
        ConfigError: says what to do.
    """
    if refusal := BACKENDS[name].refusal(device, precision):
        raise ConfigError(
            f"this run began with engine.backend={name}: {refusal}, or begin anew with --no-resume"
        )


def _prepared(classifier: Classifier, image: torch.Tensor, gradients: Sequence[GradientPasses]) -> Classifier:
    """The network with its backend prepared for whole batches of ``image``; with torch where that fails.

    The passes with gradients of the run's methods are prepared too, and fall back to torch by themselves.
    Doing so now, and not with the first picture, lets the run's environment say what became of it.
    """
    if classifier.backend is None:
        return classifier
    with torch_failures():
        classifier.run_whole_batch(image)
    if classifier.backend.failed:  # said by now
        return classifier.with_engine(replace(classifier.engine, backend="torch"))
    if classifier.gradients is not None:
        try:
            for passes in gradients:
                classifier.input_gradient(*passes.example(image))
        except Exception:  # it comes again with the explanations, whose records say it
            classifier.gradients.release()
    return classifier


def definitions(
    methods: Sequence[Method] = (), classifiers: Sequence[Classifier] = (), rules: Rules = PROTOCOL
) -> dict[str, str]:
    """The definitions of all metrics and methods, and of the user's code that a run executes, by name.

    Raises:
        ConfigError: code of the user's own cannot be imported.
        BenchError: a file that the code uses cannot be read.
    """
    known = registry.definitions(rules)
    known |= {name: method.definition for name, method in METHODS.items()}
    networks = {f"models.{model.name}": model.definition for model in classifiers if model.definition}
    return known | custom_definitions(methods) | networks


def facts(classifier: Classifier) -> dict[str, Any]:
    """The weights of a network and the way it was run, ready for JSON.

    ``gradients_by`` says what computes gradients of masked inputs; all others are torch's.
    """
    differentiates = classifier.gradients is not None and not classifier.gradients.failed
    return {
        "weights_file": classifier.weights.file,
        "weights_sha256": classifier.weights.sha256,
        "published": classifier.weights.published,
        "maps_available": list(classifier.maps or ARCHITECTURES[classifier.name].maps),
        "blocks": list(classifier.blocks),
        "classes": list(classifier.classes),
        "preprocessing": classifier.preprocessing.facts(),
        "engine": asdict(classifier.engine),
        "gradients_by": classifier.engine.backend if differentiates else "torch",
        "backend_version": BACKENDS[classifier.engine.backend].libraries(classifier.precision),
    }
