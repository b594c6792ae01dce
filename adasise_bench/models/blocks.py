"""Finds the blocks of a network: the modules whose outputs enter its down-sampling layers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import torch
from torch import nn

from adasise_bench.models.tokens import MapLayout, in_proportion, layout_of, possible_prefixes
from adasise_bench.utils.settings import suggest

_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)
_LAYERS = (nn.modules.conv._ConvNd, nn.Linear)
_AVERAGES = ("AvgPool", "AdaptiveAvgPool", "Mean")

_LEAST_FACTOR = 1.5**2
"""Down-sampling divides the number of positions by this factor or more. A stride of 2 makes 2 x 2 positions
from 3 x 3; a convolution without padding, which is no down-sampling, makes 147 x 147 from 149 x 149."""

_NEXT_UNIT = 3
"""How many layers of its size may lie behind a block: those of the next unit, in front of its stride."""

_PARTS = 4
"""How many blocks a network has whose maps have one size only, as those of most vision transformers."""

_AMPLE = 1.5
"""How many times as much as others the tokens of a quarter must change with it. In vision transformers with
random weights it is 100 times; where the order is another one, as in Hiera, all change alike."""

_CURE = "name the modules whose outputs shall be read, from the input side, in `blocks`"


@dataclass(frozen=True)
class _Output:
    """One call of a module that gave feature maps.

    Attributes:
        name: the module's name.
        module: the module.
        tensor: what it gave.
        layout: how this holds feature maps.
        version: of the tensor's values when the module returned. Another version later means that the tensor
            was overwritten.
        node: the node of the tensor in torch's graph when the module returned.
        source: the node of the module's input in the graph.
    """

    name: str
    module: nn.Module
    tensor: torch.Tensor
    layout: MapLayout
    version: int
    node: Any
    source: Any

    @property
    def size(self) -> tuple[int, int]:
        return self.layout.size

    @property
    def maps(self) -> torch.Tensor:
        """(1, C, h, w)."""
        return self.layout.maps(self.tensor)

    @property
    def overwritten(self) -> bool:
        return self.tensor._version != self.version


@dataclass(frozen=True)
class Trace:
    """One forward pass: every call of a module that gave feature maps, in order, and torch's graph.

    Attributes:
        outputs: the calls, in the order in which they returned.
        calls: how often each module was called.
        layers: for each convolution and linear layer, its node and the number of positions (pixels or tokens)
            of its output. A depthwise convolution forms one layer with the pointwise one, and is not listed.
        order: the nodes of the graph with their numbers; each comes after those it depends on.
        inputs: the nodes that each node depends on.
        result: the network's output.
    """

    outputs: list[_Output]
    calls: dict[str, int]
    layers: list[tuple[Any, int]]
    order: dict[Any, int]
    inputs: dict[Any, list[Any]]
    result: Any


@dataclass(frozen=True)
class _Map:
    """Feature maps that all later layers depend on, and that a hook can read.

    Attributes:
        name: name of the outermost module that returns them.
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
        name: name of the module that returns them.
        maps: number of feature maps.
        size: their height and width.
        before: number of convolutions and linear layers of about this size that the maps depend on.
        behind: number of those that depend on the maps, up to the next block.
        layout: how the module's output holds the maps.
    """

    name: str
    maps: int
    size: tuple[int, int]
    before: int
    behind: int
    layout: MapLayout


def find_blocks(module: nn.Module, image: torch.Tensor, tokens: int | None = None) -> tuple[str, ...]:
    """Names of the blocks that :func:`search_blocks` finds, from the input side.

    Args:
        module: a network in evaluation mode, parameters without gradient.
        image: (1, 3, H, W) network input.
        tokens: number of tokens in front of those of the positions, if it is known.

    Raises:
        ValueError: the forward pass runs no module, the network has not two places at which all of its later
            layers read feature maps, most layers of a size lie behind the last maps of this size that a
            module returns, or tokens are not in the order of the picture.
    """
    return tuple(block.name for block in search_blocks(module, image, tokens))


def search_blocks(module: nn.Module, image: torch.Tensor, tokens: int | None = None) -> list[Block]:
    """Find the inputs of a network's down-sampling layers, and of its global pooling, by one forward pass.

    This is SISE's definition of a block's last layer (arXiv 2010.00672). A layer is down-sampling where
    height and width shrink by a factor of about 1.5 or more. Its input is the last tensor of the larger size
    that all later layers depend on. In a residual unit this is the tensor that both ways receive, and not one
    that only one of them computes. In an inverted bottleneck without a shortcut it is the expanded maps that
    enter the strided convolution. The block is named by the outermost module that returns this tensor.

    Some layers belong to the down-sampling, and not to the block before it: a pooling, a normalisation that
    does not follow a convolution, and a convolution whose output is only averaged, as in DenseNet (averaging
    and a 1 x 1 convolution can change places). The block is then the tensor that enters these layers.

    Maps are read from tokens (N, L, C) and from outputs whose channels come last as well, see
    :func:`.layout_of`. If all maps have one size, nothing is down-sampled: four places are then taken, behind
    each quarter of the layers.

    Some maps are skipped: those that no hook can read, because the module is called several times or its
    output is overwritten; those that no layer computes at their size; those of one pixel; and tokens of
    positions that the network's output does not depend on, because only the class token reaches it.

    Args:
        module: a network in evaluation mode, parameters without gradient.
        image: (1, 3, H, W) network input.
        tokens: number of tokens in front of those of the positions, if it is known.

    Returns:
        Two or more blocks, from the input side.

    Raises:
        ValueError: see :func:`find_blocks`.
    """
    trace = trace_forward(module, image, tokens)
    if not trace.calls:
        raise ValueError(
            "the forward pass runs none of the network's modules; if it is a function that was put into the "
            "object, it calls those of the object that it was written for, also in a copy: make it a method "
            "of the class"
        )
    stages = _stages(trace, (image.shape[2], image.shape[3]))
    places = [stage[_last(stage, trace)] for stage in stages]
    blocks = _blocks(places if len(stages) > 1 else _quarters(stages, trace), trace)
    hidden = [block for block in blocks if block.behind > max(block.before, _NEXT_UNIT)]
    found = [block for block in blocks if block.before and block not in hidden]
    if len(found) < 2:
        raise ValueError(
            f"the network has no two places at which all later layers read feature maps; {_CURE}"
        )
    if hidden:
        block = hidden[0]
        height, width = block.size
        raise ValueError(
            f"{block.behind} of {block.before + block.behind} layers of about {height} x {width} positions "
            f"lie behind {block.name!r}, the last module that gives them as feature maps; {_CURE}"
        )
    _refuse_scrambled(module, image, [block.name for block in found], trace, tokens)
    return found


def check_blocks(
    module: nn.Module, image: torch.Tensor, names: Sequence[str], tokens: int | None = None
) -> tuple[str, ...]:
    """Check that the outputs of named blocks can be read, and put the names in the order of the forward pass.

    Args:
        module: a network in evaluation mode, parameters without gradient.
        image: (1, 3, H, W) network input.
        names: names of modules.
        tokens: number of tokens in front of those of the positions, if it is known.

    Raises:
        ValueError: one line that names a block whose output cannot be read, and says why.
    """
    known = dict(module.named_modules())
    for name in names:
        if name not in known or not name:
            raise ValueError(f"no module {name!r}{suggest(name, filter(None, known))}")
    trace = trace_forward(module, image, tokens)
    found = {output.name: output for output in trace.outputs}
    for name in names:
        if (times := trace.calls.get(name, 0)) != 1:
            raise ValueError(f"{name!r} is called {times} times in a forward pass, not once")
        if name not in found:
            raise ValueError(f"{name!r} gives no feature maps (N, C, h, w), and no tokens of such a grid")
        if found[name].overwritten:
            raise ValueError(f"{name!r}: its output is overwritten in place; name the module that does that")
        if not _matters(found[name], trace):
            raise ValueError(
                f"{name!r}: the output does not depend on its tokens of positions, because only those in "
                "front reach it; name an earlier module, such as the normalisation in front of the last "
                "attention"
            )
    _refuse_scrambled(module, image, names, trace, tokens)
    return tuple(sorted(set(names), key=lambda name: [*found].index(name)))


def trace_forward(module: nn.Module, image: torch.Tensor, tokens: int | None = None) -> Trace:
    """Pass an image through the network and record what its modules return; hooks are always removed."""
    frame, prefixes = (image.shape[2], image.shape[3]), possible_prefixes(module, tokens)
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
            layout = layout_of(output, frame, prefixes)
            if layout is not None:
                source = getattr(inputs[0], "grad_fn", None) if inputs else None
                outputs.append(_Output(name, part, output, layout, output._version, output.grad_fn, source))

        return part.register_forward_hook(note)

    hooks = [watch(name, part) for name, part in module.named_modules() if name]
    try:
        with torch.enable_grad():
            result = module(image.detach().requires_grad_() * 1)  # times 1: nobody may overwrite a leaf
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
    return Trace(outputs, calls, layers, order, inputs, result)


def _stages(trace: Trace, frame: tuple[int, int]) -> list[list[_Map]]:
    """Readable maps from the input side, a list for each size. Maps larger than earlier ones are left out."""
    stages: list[list[_Map]] = []
    for maps in _bottlenecks(trace, frame):
        if "Pool" in _kind(maps.node) or maps.positions == 1:
            continue
        before = stages[-1][-1].positions if stages else math.inf  # a network may enlarge its input
        if maps.positions * _LEAST_FACTOR <= before:
            stages.append([maps])
        elif maps.positions < before * _LEAST_FACTOR:
            stages[-1].append(maps)
    return stages


def _quarters(stages: list[list[_Map]], trace: Trace) -> list[_Map]:
    """The maps of one size that a quarter of the layers has made, two quarters, and so on.

    Of several maps that the same layers have made, such as a layer's output and its activation, these are
    the last.
    """
    maps = [each for stage in stages for each in stage[: _last(stage, trace) + 1]]
    last = {_blocks([each], trace)[0].before: each for each in maps}
    total = max(last, default=0)
    counts = {min(n for n in last if _PARTS * n >= part * total) for part in range(1, _PARTS + 1) if last}
    return [last[count] for count in sorted(counts)]


def _matters(output: _Output, trace: Trace) -> bool:
    """Whether the network's output depends on these maps. All do but tokens beside those that are read."""
    if not output.layout.prefix or output.tensor.is_meta:
        return True
    weights = torch.randn(trace.result.shape, generator=torch.Generator().manual_seed(0)).to(trace.result)
    with torch.enable_grad():
        objective = (trace.result * weights).sum()
        (gradient,) = torch.autograd.grad(objective, [output.tensor], retain_graph=True, allow_unused=True)
    if gradient is None:
        return False
    # Where the tokens in front have no gradient either, the output is constant, and nothing is known.
    return bool(output.layout.maps(gradient).any()) or not gradient.any()


@torch.no_grad()
def _refuse_scrambled(
    module: nn.Module, image: torch.Tensor, names: Sequence[str], trace: Trace, tokens: int | None
) -> None:
    """Refuse tokens whose order is not that of the picture's positions, row by row.

    Another picture in the upper right quarter must change the tokens of this quarter the most. The first
    tokens that are read are tried: later ones can depend on all positions alike, as behind the attention that
    LeViT has in the place of a strided convolution.

    Raises:
        ValueError: one line that names the block.
    """
    before = {output.name: output for output in trace.outputs if output.layout.kind == "tokens"}
    first = next((name for name in before if name in names), None)
    if first is None or image.is_meta:
        return
    other, (height, width) = image.clone(), (image.shape[2] // 2, image.shape[3] // 2)
    other[..., :height, width:] = -2 * image[..., :height, width:]
    after = {output.name: output for output in trace_forward(module, other, tokens).outputs}
    change = (after[first].maps - before[first].maps).abs().sum(dim=(0, 1))
    rows, columns = change.shape[0] // 2, change.shape[1] // 2
    halves = change[:rows], change[-rows:]
    quarters = [float(part.mean()) for half in halves for part in (half[:, :columns], half[:, -columns:])]
    if quarters.pop(1) < _AMPLE * max(quarters):
        raise ValueError(
            f"{first!r}: its tokens are not in the order of the picture's positions, row by row, so that "
            "they cannot become maps; name other modules in `blocks`"
        )


def _last(stage: list[_Map], trace: Trace) -> int:
    """Index of the last maps of a size that no part of the following down-sampling makes."""
    place = len(stage) - 1
    while place > 0 and _prepares(stage[place], stage[place - 1], trace):
        place -= 1
    return place


def _prepares(maps: _Map, before: _Map, trace: Trace) -> bool:
    """Whether a down-sampling's normalisation or averaged convolution made these maps of those before."""
    for output in maps.returned:
        if output.source is before.node:
            if _is_norm(output.module) and "Convolution" not in _kind(before.node):
                return isinstance(maps.returned[0].module, nn.Identity) or _is_norm(maps.returned[0].module)
            if "Convolution" in _kind(maps.node):
                users = [node for node, inputs in trace.inputs.items() if maps.node in inputs]
                return all(_kind(node).startswith(_AVERAGES) for node in users)
    return False


def _blocks(maps: list[_Map], trace: Trace) -> list[Block]:
    """The maps as blocks, with the numbers of layers of about their size."""
    layers = [(trace.order[node], positions) for node, positions in trace.layers if node in trace.order]
    blocks, end = [], len(trace.order)
    for each in reversed(maps):
        place, output = trace.order[each.node], each.returned[0]
        orders = [
            order for order, positions in layers
            if order <= end and 1 / _LEAST_FACTOR < positions / each.positions < _LEAST_FACTOR
        ]  # fmt: skip
        before = sum(order <= place for order in orders)
        behind = len(orders) - before
        blocks.append(Block(each.name, output.maps.shape[1], output.size, before, behind, output.layout))
        end = place
    return blocks[::-1]


def _bottlenecks(trace: Trace, frame: tuple[int, int]) -> list[_Map]:
    """Feature maps that no path leads around, in the order of the forward pass.

    Take the nodes of a graph from one source to one sink in any order in which each follows those it depends
    on. All paths pass a node if and only if no edge leads from a node before it to a node behind it.
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
        if output.node in passed and not output.overwritten and in_proportion(output.size, frame):
            calls = returned.setdefault(output.node, [])
            if not calls or f"{calls[0].name}.".startswith(f"{output.name}."):
                calls.append(output)
    maps = []
    for calls in returned.values():
        names = [output.name for output in calls if trace.calls[output.name] == 1]
        if names and _matters(calls[0], trace):
            maps.append(_Map(names[-1], calls))
    return maps


def _is_depthwise(layer: nn.Module) -> bool:
    return getattr(layer, "groups", 1) == getattr(layer, "in_channels", 0) > 1


def _is_norm(module: nn.Module) -> bool:
    """Whether a module is a normalisation, by torch's classes or by its name, and contains no other layer."""
    return isinstance(module, _NORMS) or (
        "Norm" in type(module).__name__ and not any(isinstance(part, _LAYERS) for part in module.modules())
    )


def _kind(node: Any) -> str:
    return str(node.name()).removeprefix("Mkldnn").removeprefix("Cudnn")
