"""Feature maps of one layer, and the gradients of raw outputs with respect to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from adasise_bench.models.classifier import Classifier
from adasise_bench.models.tokens import MapLayout
from adasise_bench.utils.errors import BenchError, ConfigError
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.settings import suggest


@dataclass(frozen=True)
class LayerMaps:
    """What one layer gives for one image.

    Attributes:
        maps: (K, h, w) float32, without gradient.
        gradients: (T, K, h, w) float32, the gradients of T raw outputs with respect to the maps.
        outputs: (C,) float32, the raw outputs at image level, before any softmax or sigmoid.
        layout: how the layer's output holds the maps.
        output: (1, ...), the layer's output as it was.
    """

    maps: torch.Tensor
    gradients: torch.Tensor
    outputs: torch.Tensor
    layout: MapLayout
    output: torch.Tensor


def layer_maps(
    classifier: Classifier, image: torch.Tensor, layer: str, targets: Sequence[int] = ()
) -> LayerMaps:
    """Maps and gradients of a layer by one forward pass and one backward pass per target, in fp32.

    The graph starts at the layer's maps. A backward pass ends there, and it does not matter whether the
    parameters require gradients.

    Args:
        classifier: the network; left as it was found.
        image: (1, 3, H, W) network input.
        layer: name of a module.
        targets: indices of the T classes whose raw outputs are differentiated. Without any, no graph is made.

    Raises:
        ConfigError: no such module, or one that does not give feature maps exactly once per pass.
        BenchError: maps or outputs that are not finite.
    """
    leaves: list[torch.Tensor] = []
    whole: list[tuple[MapLayout, torch.Tensor]] = []

    def cut(maps: torch.Tensor, layout: MapLayout, output: torch.Tensor) -> torch.Tensor:
        whole.append((layout, output.detach()))
        leaves.append(maps.detach().requires_grad_(bool(targets)))
        return leaves[-1].clone()  # what follows may work in place

    with (
        replaced_output(classifier, image, layer, cut),
        torch.set_grad_enabled(bool(targets)),
        arithmetic("fp32", classifier.device),
    ):
        outputs = classifier.outputs(image)[0]
        if len(leaves) != 1:
            raise ConfigError(
                f"{classifier.name}: layer {layer!r} runs {len(leaves)} times in a pass; "
                "name one that runs once"
            )
        gradients = [
            torch.autograd.grad(outputs[target], leaves, retain_graph=True)[0][0] for target in targets
        ]
    maps = leaves[0][0].detach()
    refuse_not_finite(maps, outputs)
    stacked = torch.stack(gradients) if gradients else maps.new_empty(0, *maps.shape)
    return LayerMaps(maps, stacked, outputs.detach(), *whole[0])


def refuse_not_finite(*values: torch.Tensor) -> None:
    """Check maps, outputs, scores or gradients of one picture.

    Raises:
        BenchError: some are infinite or not a number.
    """
    if not torch.stack([torch.isfinite(value).all() for value in values]).all():
        raise BenchError("the network's maps, outputs or gradients are not finite for this picture")


@contextmanager
def replaced_output(
    classifier: Classifier,
    image: torch.Tensor,
    layer: str,
    replacement: Callable[[torch.Tensor, MapLayout, torch.Tensor], torch.Tensor],
) -> Iterator[None]:
    """Replace a layer's feature maps in the forward passes of a ``with`` block.

    Args:
        classifier: the network; left as it was found.
        image: (N, 3, H, W) network input; only its size matters.
        layer: name of a module.
        replacement: takes the layer's maps, (N, K, h, w), how its output holds them, and this output, and
            gives the maps that the next layer gets.

    Raises:
        ConfigError: no such module, or one that gives no feature maps.
    """

    def replace(_module: nn.Module, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        layout = classifier.layout_of(output, image)
        if layout is None:
            raise ConfigError(f"{classifier.name}: layer {layer!r} gives no feature maps; name another")
        return layout.output(replacement(layout.maps(output), layout, output), output)

    modules = dict(classifier.module.named_modules())
    if layer not in modules:
        raise ConfigError(f"{classifier.name}: no layer {layer!r}{suggest(layer, filter(None, modules))}")
    hook = modules[layer].register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
