"""What the networks of a run are like: their feature maps, their size, and the time of a pass here."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import nn

from adasise_bench.models import custom
from adasise_bench.models.architectures import ARCHITECTURES
from adasise_bench.models.config import CustomModel
from adasise_bench.models.engine import ENGINES, Engine
from adasise_bench.models.tuning import plain_forward_seconds
from adasise_bench.run import network
from adasise_bench.run.config import RunConfig
from adasise_bench.run.forecast.passes import Maps
from adasise_bench.utils.errors import WeightsError
from adasise_bench.utils.precision import PrecisionName

_CPU_BATCH = 4


class Trial(NamedTuple):
    """What a network with random weights tells of the one that will be explained.

    Attributes:
        maps: number of feature maps of each block, from the input side.
        weights_bytes: size of its parameters and buffers.
        seconds: time of one input in a forward pass of torch, in :func:`timed_precision`.
    """

    maps: Maps
    weights_bytes: int
    seconds: float


def refuse_absent_networks(config: RunConfig) -> None:
    """Refuse what a run would refuse for lack of a network, a library or a file of weights.

    Raises:
        ConfigError: there is no such network, weights or function.
        WeightsError: a file of weights cannot be read.
    """
    for name, model in config.models.items():
        if isinstance(model, CustomModel):
            custom.refuse_absent(name, model)
        if model.checkpoint is not None and not model.checkpoint.is_file():
            raise WeightsError(f"{model.checkpoint}: cannot read the weights: no such file")


def timed_precision(config: RunConfig) -> PrecisionName:
    """The precision in which networks are timed: the run's, but for int8, which torch does not have."""
    return "fp32" if config.precision == "int8" else config.precision


def try_network(config: RunConfig, name: str, device: torch.device, classes: tuple[str, ...]) -> Trial | None:
    """Build a network as the run will, but without its weights, and time it.

    Args:
        config: the run.
        name: of the model.
        device: where it is timed.
        classes: of the data.

    Returns:
        ``None`` for a network that a function of the user's builds: it is not called, because it may do
        anything, such as download weights.

    Raises:
        ConfigError, DeviceError: as in :func:`adasise_bench.run.network.load`.
    """
    model = config.models[name]
    if isinstance(model, CustomModel) and ":" in model.source:
        return None
    config = config.model_copy(update={"precision": timed_precision(config)})
    classifier = network.load(config, name, device, classes, with_weights=False)
    fixed = ENGINES[device.type]
    size = _CPU_BATCH if device.type == "cpu" else fixed.batch_size
    engine = Engine(config.engine.layout or fixed.layout, config.engine.batch_size or size)
    if len(classifier.layouts) == 1:
        engine = Engine(classifier.layouts[0], engine.batch_size)
    classifier = classifier.with_engine(engine)
    side = config.data.input_size
    width = side if config.data.resize == "stretch" else side * 4 // 3
    image = torch.randn(1, 3, side, width, generator=torch.Generator().manual_seed(0)).to(device)
    classifier.run_whole_batch(image)
    maps = classifier.maps or ARCHITECTURES[name].maps
    return Trial(tuple(maps), _bytes(classifier.module), plain_forward_seconds(classifier, image))


def _bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in module.state_dict().values())
