"""Finds a network's blocks: the modules that give the last feature maps before each down-sampling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Any

import torch
from torch import nn

from adasise_bench.validation import suggest

_ACTIVATIONS = (
    "Relu", "Hardtanh", "Silu", "Gelu", "Hardswish", "LeakyRelu", "Elu", "Prelu", "Mish", "Softplus",
    "Sigmoid", "Tanh", "Threshold", "Hardsigmoid",
)  # fmt: skip
_LINEAR = ("Convolution", "BatchNorm", "LayerNorm", "GroupNorm", "InstanceNorm", "Addmm", "Mm", "Bmm")
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.LocalResponseNorm)


@dataclass(frozen=True)
class _Output:
    """One call of a module that gave feature maps.

    Attributes:
        name: the module's name.
        module: the module.
        tensor: (1, C, h, w).
        version: of the tensor's values when the module returned; they change when it is overwritten.
        node: the tensor's place in torch's graph when the module returned.
    """

    name: str
    module: nn.Module
    tensor: torch.Tensor
    version: int
    node: Any

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
        order: the graph's nodes, each after those it depends on, with their number.
        inputs: the nodes that each node depends on.
    """

    outputs: list[_Output]
    calls: dict[str, int]
    order: dict[Any, int]
    inputs: dict[Any, list[Any]]


def find_blocks(module: nn.Module, image: torch.Tensor) -> tuple[str, ...]:
    """The last layer of each block, from the input side, found by one forward pass.

    A block is a stretch of layers with one size of feature maps, among them a convolution. Its last feature
    map is one that everything behind depends on, so that no shortcut passes it by: the last one behind an
    activation, or where there is none the last that is no normalisation. The outermost module that returns
    it is named. Maps that are pooled, called several times, overwritten in place afterwards, or of one pixel
    do not count. For VGG16 and ResNet-50 these are the inputs of the down-sampling layers that SISE reads.

    Args:
        module: a network in evaluation mode, parameters without gradient.
        image: (1, 3, H, W) network input.

    Returns:
        Names of modules, two or more.

    Raises:
        ValueError: fewer than two sizes of feature maps, as in a vision transformer.
    """
    trace = trace_forward(module, image)
    convolved = {output.size for output in trace.outputs if "Convolution" in _kind(output.node)}
    convolved = {size for size in convolved if size != (1, 1)}
    active = _activated(trace)
    best: dict[tuple[int, int], tuple[bool, int, str]] = {}
    for name, output in _bottlenecks(trace, (image.shape[2], image.shape[3])):
        if output.size in convolved and "Pool" not in _kind(output.node):
            activated = active[output.node]
            if activated or not isinstance(output.module, _NORMS):
                rank = activated, trace.order[output.node], name
                best[output.size] = max(best.get(output.size, rank), rank, key=lambda entry: entry[:2])
    ordered = sorted(best.items(), key=lambda entry: entry[1][1])
    names: list[str] = []
    smallest = image.shape[2] * image.shape[3] + 1
    for (height, width), (_, _, name) in ordered:
        if height * width < smallest:
            smallest = height * width
            names.append(name)
    if len(names) < 2:
        raise ValueError(
            "the network has no two sizes of feature maps (N, C, h, w) from which blocks could be found; "
            "name the modules whose outputs shall be read, from the input side, in `blocks`"
        )
    return tuple(names)


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

    def watch(name: str, part: nn.Module) -> Any:
        def note(_module: nn.Module, _inputs: object, output: Any) -> None:
            calls[name] = calls.get(name, 0) + 1
            if isinstance(output, torch.Tensor) and output.ndim == 4 and output.grad_fn is not None:
                outputs.append(_Output(name, part, output, output._version, output.grad_fn))

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
    return Trace(outputs, calls, order, inputs)


def _bottlenecks(trace: Trace, frame: tuple[int, int]) -> list[tuple[str, _Output]]:
    """Feature maps without a way around them, each with the outermost module that returns it and the call
    that made it.

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
    makers: dict[Any, _Output] = {}
    names: dict[Any, str] = {}
    for output in trace.outputs:
        if output.node not in passed or output.overwritten or not _is_scaled(output.size, frame):
            continue
        maker = makers.setdefault(output.node, output)
        if trace.calls[output.name] == 1 and f"{maker.name}.".startswith(f"{output.name}."):
            names[output.node] = output.name
    return [(names[node], maker) for node, maker in makers.items() if node in names]


def _activated(trace: Trace) -> dict[Any, bool]:
    """Whether a node is an activation, or made of nothing but activations by other means than weights."""
    active: dict[Any, bool] = {}
    for node in trace.order:
        kind, before = _kind(node), trace.inputs[node]
        active[node] = kind.startswith(_ACTIVATIONS) or (
            bool(before)
            and not any(linear in kind for linear in _LINEAR)
            and all(active[earlier] for earlier in before)
        )
    return active


def _kind(node: Any) -> str:
    return str(node.name()).removeprefix("Mkldnn").removeprefix("Cudnn")


def _is_scaled(size: tuple[int, int], frame: tuple[int, int]) -> bool:
    """Whether maps have the input's proportions: channels in another place than the second have not."""
    return abs(size[1] - size[0] * frame[1] / frame[0]) <= 1
