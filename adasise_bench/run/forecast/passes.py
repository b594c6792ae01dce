"""How many inputs a run is expected to pass through its networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from adasise_bench.methods import Method
from adasise_bench.metrics.registry import expected_forwards
from adasise_bench.run.config import RunConfig
from adasise_bench.run.forecast.pictures import Pictures

Maps = tuple[int, ...]
"""Number of feature maps of each block of a network, from the input side."""


@dataclass(frozen=True)
class Passes:
    """What methods that share their forward passes ask of one network.

    Attributes:
        model: the network, by its name in the configuration.
        labels: the methods.
        explanations: how many they make.
        forwards: inputs that pass forward, with those of the extra metrics; ``None`` where it is unknown.
        backwards: inputs that pass backward; ``None`` where it is unknown.
    """

    model: str
    labels: tuple[str, ...]
    explanations: int
    forwards: int | None
    backwards: int | None


def expected_passes(
    config: RunConfig, pictures: Pictures, maps: Mapping[str, Maps | None]
) -> Iterator[Passes]:
    """What the methods are expected to ask of each network; what they share counts once.

    The two passes of each pair that all metrics need are left out.

    Args:
        config: the run.
        pictures: those of the run.
        maps: by model; ``None`` where they are unknown.
    """
    for model in config.models:
        for methods in _groups(config, model):
            labels = tuple(method.label for method in methods)
            forwards, backwards = _inputs(config, pictures, methods, maps[model])
            yield Passes(model, labels, pictures.pairs * len(methods), forwards, backwards)


def _groups(config: RunConfig, model: str) -> list[list[Method]]:
    """The methods that share forward passes with each other, in the configuration's order."""
    groups: dict[str, list[Method]] = {}
    for method in config.methods:
        name = method.group if config.share_forwards else method.label
        groups.setdefault(name, []).append(method.on_network(model))
    return list(groups.values())


def _inputs(
    config: RunConfig, pictures: Pictures, methods: Sequence[Method], maps: Maps | None
) -> tuple[int | None, int | None]:
    """The inputs of a group's forward passes and of its gradients; ``None`` where they are unknown."""
    if maps is None:
        return None, None
    alone = [method.expected_forwards(maps) for method in methods]
    each = [count for count in alone if count is not None]
    if len(each) < len(alone):
        return None, None
    side = config.data.input_size
    extra = pictures.pairs * sum(expected_forwards(config.extra_metrics, side, count) for count in each)
    together = _together(pictures, methods, maps) if config.share_forwards else pictures.pairs * sum(each)
    return extra + together, pictures.pairs * sum(method.expected_backwards(maps) for method in methods)


def _together(pictures: Pictures, methods: Sequence[Method], maps: Maps) -> int:
    """The forward passes of methods that share them, picture by picture."""
    shared = type(methods[0]).expected_together
    by_classes = {classes: number for classes, number in pictures.by_classes.items() if classes}
    return sum(number * (shared(methods, maps, classes) or 0) for classes, number in by_classes.items())
