"""The part of a network behind one layer, as a function of that layer's feature maps."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

import torch
from torch import fx, nn

from adasise_bench.methods.layer_maps import LayerMaps, replaced_output
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.score import image_level

PartialForward = Callable[[torch.Tensor], torch.Tensor]
"""(B, K, h, w) feature maps to (B, C) raw outputs."""

_SAME = 1e-4
"""Raw outputs that differ by no more than this share of the largest one count as equal but for rounding."""


def forward_behind(
    classifier: Classifier, image: torch.Tensor, layer: str, found: LayerMaps
) -> PartialForward:
    """The network's outputs as a function of one layer's maps.

    The modules that contain the layer are traced, and the calls behind it become the partial forward pass.
    The whole network runs on copies of the image instead, and the layer's output is replaced, in three cases:
    the modules cannot be traced, a path leads around the layer, or the partial pass does not give the
    network's own outputs.

    Args:
        classifier: the network.
        image: (1, 3, H, W) network input, for a path around the layer.
        layer: name of a module that runs once in a pass.
        found: what the layer gives for the image.
    """

    def whole(maps: torch.Tensor) -> torch.Tensor:
        with replaced_output(classifier, image, layer, lambda *_: maps):
            return classifier.outputs(image.expand(len(maps), -1, -1, -1))

    traced = traced_behind(classifier.module, layer)
    if traced is None:
        return whole

    def behind(maps: torch.Tensor) -> torch.Tensor:
        return image_level(traced(found.layout.output(maps, found.output)))

    difference = (behind(found.maps[None].clone())[0] - found.outputs).abs().max()
    return behind if difference <= _SAME * found.outputs.abs().max() else whole


class _AroundLayer(fx.Tracer):
    """A tracer that looks into the modules that contain the layer, and into no others."""

    def __init__(self, layer: str) -> None:
        super().__init__()
        self._layer = layer

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return not self._layer.startswith(f"{module_qualified_name}.")


class _Root(nn.Module):
    """A module around a network: a tracer then also sees a ``forward`` that was set on the network itself."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.network(inputs)
        return outputs


_KNOWN: WeakKeyDictionary[nn.Module, dict[str, nn.Module | None]] = WeakKeyDictionary()
"""What follows each layer of a network, by the layer's name; forgotten when the network is deleted."""


def traced_behind(module: nn.Module, layer: str) -> nn.Module | None:
    """The part behind the layer; ``None`` if it cannot be traced, or needs more than the layer's output.

    A network is traced once for each layer. The result shares the modules and parameters of the network, so
    that it follows their changes. A change of the network's structure is not noticed.
    """
    known = _KNOWN.setdefault(module, {})
    if layer not in known:
        known[layer] = _traced(module, layer)
    return known[layer]


def _traced(module: nn.Module, layer: str) -> nn.Module | None:
    root, target = _Root(module), f"network.{layer}"
    try:
        traced = fx.GraphModule(root, _AroundLayer(target).trace(root))
    except Exception:  # tracing code that depends on values can raise any exception
        return None
    graph = traced.graph
    inputs = graph.find_nodes(op="placeholder")
    calls = graph.find_nodes(op="call_module", target=target)
    if len(calls) != 1:
        return None
    with graph.inserting_before(inputs[0]):
        start = graph.placeholder("maps")
    calls[0].replace_all_uses_with(start)
    graph.eliminate_dead_code()
    if any(node.users for node in inputs):
        return None
    for node in inputs:
        graph.erase_node(node)
    traced.recompile()
    return traced
