"""Finds a network's blocks: the modules that give the inputs of its down-sampling layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import torch
from torch import nn

from adasise_bench.utils.settings import suggest

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
_AVERAGES = ("AvgPool", "AdaptiveAvgPool", "Mean")

_LEAST_FACTOR = 1.5**2
"""Down-sampling divides the number of positions by this or more: stride 2 makes 2 x 2 from 3 x 3, but a
convolution without padding makes 147 x 147 from 149 x 149."""

_NEXT_UNIT = 3
"""So many layers of a size are accepted behind its block: those of the next unit, in front of its stride."""

_CURE = "name the modules whose outputs shall be read, from the input side, in `blocks`"


@dataclass(frozen=True)
class _Output:
    """One call of a module that gave feature maps.

    Attributes:
        name: the module's name.
        module: the module.
        tensor: (1, C, h, w).
        version: of the tensor's values when the module returned; they change when it is overwritten.
        node: the tensor's place in torch's graph when the module returned.
        source: the place of the module's input in the graph.
    """

    name: str
    module: nn.Module
    tensor: torch.Tensor
    version: int
    node: Any
    source: Any

    @property
    def size(self) -> tuple[int, int]:
        return self.tensor.shape[2], self.tensor.shape[3]

    @property
    def overwritten(self) -> bool:
        return self.tensor._version != self.version


@dataclass(frozen=True)
class Trace:
    """One forward pass: every call of a module that gave (1, C, h, w), in order, and torch's graph.

    Attributes:
        outputs: the calls, in the order in which they returned.
        calls: how often each module was called.
        layers: of each convolution and linear layer, its node and the number of positions (pixels or tokens)
            of its output. A depthwise convolution is one layer with the pointwise one, and not listed.
        order: the graph's nodes, each after those it depends on, with their number.
        inputs: the nodes that each node depends on.
    """

    outputs: list[_Output]
    calls: dict[str, int]
    layers: list[tuple[Any, int]]
    order: dict[Any, int]
    inputs: dict[Any, list[Any]]


@dataclass(frozen=True)
class _Map:
    """Feature maps that everything behind depends on, and that a hook can read.

    Attributes:
        name: of the outermost module that returns them.
        returned: the calls that returned them, the innermost first.
    """

    name: str
    returned: list[_Output]

    @property
    def node(self) -> Any:
        return self.returned[0].node

    @property
    def positions(self) -> int:
        height, width = self.returned[0].size
        return height * width


@dataclass(frozen=True)
class Block:
    """The last feature maps of one size.

    Attributes:
        name: of the module that gives them.
        maps: how many there are.
        size: their height and width.
        before: convolutions and linear layers of about this size that the maps depend on.
        behind: those that depend on the maps, up to the next block.
    """

    name: str
    maps: int
    size: tuple[int, int]
    before: int
    behind: int


def find_blocks(module: nn.Module, image: torch.Tensor) -> tuple[str, ...]:
    """Names of the blocks that :func:`search_blocks` finds, from the input side.

    Raises:
        ValueError: no two sizes of feature maps, as in a vision transformer, or most layers of a size lie
            behind the last maps that a module gives.
    """
    return tuple(block.name for block in search_blocks(module, image))


def search_blocks(module: nn.Module, image: torch.Tensor) -> list[Block]:
    """The inputs of a network's down-sampling layers, and of its global pooling, found by one forward pass.

    This is SISE's definition of a block's last layer (arXiv 2010.00672). Down-sampling is where
    height and width shrink by a factor of about 1.5 or more. Its input is the last tensor of the larger size
    that everything behind depends on: what both ways of a residual unit receive, not what only one of them
    computes; and in an inverted bottleneck without a shortcut, the expanded maps that enter the strided
    convolution. The outermost module that returns this tensor is named.

    Layers that belong to a down-sampling are no part of the block before it: a pooling; a normalisation that
    does not follow a convolution; and a convolution whose output is only averaged, as in DenseNet, since
    averaging and a 1 x 1 convolution can change places. Then the tensor that enters them is taken. Maps that
    no hook can read (a module called several times, an output that is overwritten), that no layer computes at
    their size, or of one pixel are passed over.

    Args:
        module: a network in evaluation mode, parameters without gradient.
        image: (1, 3, H, W) network input.

    Returns:
        Two or more blocks, from the input side.

    Raises:
        ValueError: see :func:`find_blocks`.
    """
    trace = trace_forward(module, image)
    stages = _stages(trace, (image.shape[2], image.shape[3]))
    blocks = _blocks([stage[_last(stage, trace)] for stage in stages], trace)
    hidden = [block for block in blocks if block.behind > max(block.before, _NEXT_UNIT)]
    found = [block for block in blocks if block.before and block not in hidden]
    if len(found) < 2:
        raise ValueError(
            "the network has no two sizes of feature maps (N, C, h, w) from which blocks could be found; "
            f"{_CURE}"
        )
    if hidden:
        block = hidden[0]
        height, width = block.size
        raise ValueError(
            f"{block.behind} of {block.before + block.behind} layers of about {height} x {width} positions "
            f"lie behind {block.name!r}, the last module that gives them as (N, C, h, w); {_CURE}"
        )
    return found


def check_blocks(module: nn.Module, image: torch.Tensor, names: Sequence[str]) -> tuple[str, ...]:
    """Named blocks in the order of the forward pass.

    Raises:
        ValueError: one line naming a block whose output cannot be read, and why.
    """
    known = dict(module.named_modules())
    for name in names:
        if name not in known or not name:
            raise ValueError(f"no module {name!r}{suggest(name, filter(None, known))}")
    trace = trace_forward(module, image)
    found = {output.name: output for output in trace.outputs}
    for name in names:
        if (times := trace.calls.get(name, 0)) != 1:
            raise ValueError(f"{name!r} is called {times} times in a forward pass, not once")
        if name not in found:
            raise ValueError(f"{name!r} gives no feature maps (N, C, h, w)")
        if found[name].overwritten:
            raise ValueError(f"{name!r}: its output is overwritten in place; name the module that does that")
    return tuple(sorted(set(names), key=lambda name: [*found].index(name)))


def trace_forward(module: nn.Module, image: torch.Tensor) -> Trace:
    """Pass an image through the network and note what its modules return; hooks are always removed."""
    outputs: list[_Output] = []
    calls: dict[str, int] = {}
    layers: list[tuple[Any, int]] = []

    def watch(name: str, part: nn.Module) -> Any:
        def note(_module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if not isinstance(output, torch.Tensor) or output.grad_fn is None:
                return
            if isinstance(part, _LAYERS) and not _is_depthwise(part):
                layers.append((output.grad_fn, output.numel() // len(part.weight)))
            if output.ndim == 4:
                source = getattr(inputs[0], "grad_fn", None) if inputs else None
                outputs.append(_Output(name, part, output, output._version, output.grad_fn, source))

        return part.register_forward_hook(note)

    hooks = [watch(name, part) for name, part in module.named_modules() if name]
    try:
        with torch.enable_grad():
            result = module(image.detach().requires_grad_() * 1)  # what is given may be overwritten in place
    finally:
        for hook in hooks:
            hook.remove()
    inputs: dict[Any, list[Any]] = {}
    waiting = [result.grad_fn] if isinstance(result, torch.Tensor) and result.grad_fn is not None else []
    while waiting:
        node = waiting.pop()
        if node not in inputs:
            inputs[node] = [before for before, _ in node.next_functions if before is not None]
            waiting += inputs[node]
    order = {node: number for number, node in enumerate(TopologicalSorter(inputs).static_order())}
    return Trace(outputs, calls, layers, order, inputs)


def _stages(trace: Trace, frame: tuple[int, int]) -> list[list[_Map]]:
    """Readable maps, a list for each size, from the input side; larger maps than before are left out."""
    stages: list[list[_Map]] = []
    for maps in _bottlenecks(trace, frame):
        if "Pool" in _kind(maps.node) or maps.positions == 1:
            continue
        before = stages[-1][-1].positions if stages else frame[0] * frame[1] * _LEAST_FACTOR
        if maps.positions * _LEAST_FACTOR <= before:
            stages.append([maps])
        elif maps.positions < before * _LEAST_FACTOR:
            stages[-1].append(maps)
    return stages


def _last(stage: list[_Map], trace: Trace) -> int:
    """Place of the last maps of a size that are made by no part of the down-sampling behind them."""
    place = len(stage) - 1
    while place > 0 and _prepares(stage[place], stage[place - 1], trace):
        place -= 1
    return place


def _prepares(maps: _Map, before: _Map, trace: Trace) -> bool:
    """Whether a down-sampling's normalisation, or its averaged convolution, made the maps of those before."""
    for output in maps.returned:
        if output.source is before.node:
            if _is_norm(output.module) and "Convolution" not in _kind(before.node):
                return isinstance(maps.returned[0].module, nn.Identity) or _is_norm(maps.returned[0].module)
            if "Convolution" in _kind(maps.node):
                users = [node for node, inputs in trace.inputs.items() if maps.node in inputs]
                return all(_kind(node).startswith(_AVERAGES) for node in users)
    return False


def _blocks(maps: list[_Map], trace: Trace) -> list[Block]:
    """The maps as blocks, with the layers of about their size counted."""
    layers = [(trace.order[node], positions) for node, positions in trace.layers if node in trace.order]
    blocks, end = [], len(trace.order)
    for each in reversed(maps):
        place, output = trace.order[each.node], each.returned[0]
        orders = [
            order for order, positions in layers
            if order <= end and 1 / _LEAST_FACTOR < positions / each.positions < _LEAST_FACTOR
        ]  # fmt: skip
        before = sum(order <= place for order in orders)
        blocks.append(Block(each.name, output.tensor.shape[1], output.size, before, len(orders) - before))
        end = place
    return blocks[::-1]


def _bottlenecks(trace: Trace, frame: tuple[int, int]) -> list[_Map]:
    """Feature maps without a way around them, in the order of the forward pass.

    In any order of a graph from one source to one sink, every path passes a node if and only if no edge
    reaches over it.
    """
    reach = [0] * len(trace.order)
    for node, before in trace.inputs.items():
        for earlier in before:
            start = trace.order[earlier]
            reach[start] = max(reach[start], trace.order[node])
    passed, farthest = set(), 0
    for node, number in trace.order.items():
        if farthest <= number:
            passed.add(node)
        farthest = max(farthest, reach[number])
    returned: dict[Any, list[_Output]] = {}
    for output in trace.outputs:
        if output.node in passed and not output.overwritten and _is_scaled(output.size, frame):
            calls = returned.setdefault(output.node, [])
            if not calls or f"{calls[0].name}.".startswith(f"{output.name}."):
                calls.append(output)
    maps = []
    for calls in returned.values():
        names = [output.name for output in calls if trace.calls[output.name] == 1]
        if names:
            maps.append(_Map(names[-1], calls))
    return maps


def _is_depthwise(layer: nn.Module) -> bool:
    return getattr(layer, "groups", 1) == getattr(layer, "in_channels", 0) > 1


def _is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation, of torch or by its name, and not a layer with one."""
    return isinstance(module, _NORMS) or (
        "Norm" in type(module).__name__ and not any(isinstance(part, _LAYERS) for part in module.modules())
    )


def _kind(node: Any) -> str:
    return str(node.name()).removeprefix("Mkldnn").removeprefix("Cudnn")


def _is_scaled(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Whether maps have the input's proportions: channels in another place than the second have not."""
    return abs(size[1] - size[0] * frame[1] / frame[0]) <= 1
