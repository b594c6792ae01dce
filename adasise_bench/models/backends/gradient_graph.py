"""A network together with the gradient of its input, as one graph that an inference engine can run.

torch's autograd is traced, and the operations that only it knows are replaced by those of forward passes. The
gradient of a convolution is a convolution with turned weights, which engines run as fast as any other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx
from torch.overrides import TorchFunctionMode

from adasise_bench.models.surgery import MatrixAveragePool

Objective = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""The number whose gradient is wanted, of raw outputs (N, C) or (N, C, h, w) and (N,) int64 classes."""

_aten = torch.ops.aten


def gradient_graph(
    module: nn.Module, inputs: torch.Tensor, targets: torch.Tensor, objective: Objective
) -> torch.fx.GraphModule:
    """Trace how the gradient of an objective with respect to the network's inputs is computed.

    Args:
        module: the network in evaluation mode.
        inputs: (N, 3, H, W) float32, for whose shape the graph is right; the values do not matter.
        targets: (N,) int64 classes; the values do not matter.
        objective: what is differentiated.

    Returns:
        A graph that takes (N, 3, H, W) inputs and (N,) targets and gives the (N, 3, H, W) gradient.

    Raises:
        Exception: of any kind, where the network cannot be traced, as one whose way depends on its inputs.
    """
    named = [*module.named_parameters(), *module.named_buffers()]
    state = {name: tensor.detach().contiguous() for name, tensor in named}

    def gradient(inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        with torch.enable_grad(), _PlainMeans():
            inputs = inputs.detach().requires_grad_()
            outputs = torch.func.functional_call(module, state, (inputs,))
            return torch.autograd.grad(objective(outputs, targets), inputs)[0]

    traced = make_fx(gradient, decomposition_table=_forward_operations())(inputs.contiguous(), targets)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


class _PlainMeans(TorchFunctionMode):
    """Takes means or matrix products for adaptive average pooling, whose own gradient no engine knows."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.adaptive_avg_pool2d or func is torch._C._nn.adaptive_avg_pool2d:
            size = args[1] if len(args) > 1 else kwargs["output_size"]
            size = (size, size) if isinstance(size, int) else tuple(size)
            if size == (1, 1):
                return args[0].mean((2, 3), keepdim=True)
            if None not in size:
                return MatrixAveragePool(size)(args[0])
        return func(*args, **kwargs)


def _forward_operations() -> dict[Any, Callable[..., Any]]:
    beside = get_decompositions([_aten.silu_backward, _aten.hardswish_backward, _aten.elu_backward])
    return (
        core_aten_decompositions()
        | beside
        | {
            _aten.convolution_backward.default: convolution_backward,
            _aten.max_pool2d_with_indices.default: max_pool,
            _aten.max_pool2d_with_indices_backward.default: max_pool_backward,
        }
    )


def convolution_backward(
    upstream: torch.Tensor,
    inputs: torch.Tensor,
    weight: torch.Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> Any:
    """The inputs' gradient of a convolution; the arguments are those of ATen's operation.

    With stride 1 it is the convolution of ``upstream`` with the weights turned by 180 degrees, with a larger
    stride one such convolution for every remainder of a position by the stride. The rest remains a
    transposed convolution. Each has its own copy of the weights: OpenVINO 2026.4 computes wrong values,
    without an error, where a convolution and its transposed one share a constant, and a clone is no other
    constant for it; a sum is.
    """
    if transposed or list(output_mask) != [True, False, False]:
        return NotImplemented  # the operation stays as it is
    kernel, axes = weight.shape[2:], len(weight.shape) - 2
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    if groups == 1 and max(stride) == 1 and all(r >= p for r, p in zip(reach, padding, strict=True)):
        turned = weight.transpose(0, 1).flip(*range(2, axes + 2))
        beyond = [r - p for r, p in zip(reach, padding, strict=True)]
        found = _aten.convolution(upstream, turned, None, [1] * axes, beyond, dilation, False, [0] * axes, 1)
    elif groups == 1 and axes == 2 and max(dilation) == 1 and min(stride) == max(stride) <= min(kernel):
        found = _by_remainders(upstream, weight, stride[0], padding, inputs.shape[2:])
    else:
        missing = [
            size - ((count - 1) * s - 2 * p + r + 1)
            for size, count, s, p, r in zip(
                inputs.shape[2:], upstream.shape[2:], stride, padding, reach, strict=True
            )
        ]
        found = _aten.convolution(
            upstream, weight + 0, None, stride, padding, dilation, True, missing, groups
        )
    return found, None, None


def _by_remainders(
    upstream: torch.Tensor, weight: torch.Tensor, stride: int, padding: Sequence[int], size: Sequence[int]
) -> torch.Tensor:
    """Gradient for a stride s > 1: s² convolutions with every s-th weight, interleaved.

    Args:
        upstream: (N, O, h, w).
        weight: (O, I, kh, kw), kh and kw at least s.
        stride: s.
        padding: of the rows and columns.
        size: H and W of the inputs.

    Returns:
        (N, I, H, W).
    """
    out, into, *kernel = weight.shape
    taps = [-(-k // stride) for k in kernel]
    filled = F.pad(weight, (0, taps[1] * stride - kernel[1], 0, taps[0] * stride - kernel[0]))
    parts = filled.reshape(out, into, taps[0], stride, taps[1], stride).permute(1, 3, 5, 0, 2, 4).flip(4, 5)
    parts = parts.reshape(into * stride**2, out, *taps)
    beyond = [t - 1 for t in taps]
    whole = F.pixel_shuffle(
        _aten.convolution(upstream, parts, None, [1, 1], beyond, [1, 1], False, [0, 0], 1), stride
    )
    (top, left), (height, width) = padding, size
    missing = [max(0, p + n - m) for p, n, m in zip(padding, size, whole.shape[2:], strict=True)]
    if any(missing):
        whole = F.pad(whole, (0, missing[1], 0, missing[0]))
    return whole[:, :, top : top + height, left : left + width]


def max_pool(
    inputs: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
    ceil_mode: bool = False,
) -> Any:
    """Max pooling and the places of the maxima, of which the first counts; arguments as ATen's.

    It is done one place of the window after the other: for pooling with indices, OpenVINO 2026.4 has slow
    reference code only.
    """
    if inputs.ndim != 4:
        return NotImplemented  # the operation stays as it is
    sizes = inputs.shape[2:]
    kernel, padding, dilation = _pair(kernel), _pair(padding), _pair(dilation)
    stride = _pair(stride) if stride else kernel
    counts, beyond = [], []
    for n, k, s, p, d in zip(sizes, kernel, stride, padding, dilation, strict=True):
        count = (n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)) // s + 1
        count -= ceil_mode and (count - 1) * s >= n + p  # no window begins in the padding behind
        counts.append(count)
        beyond.append(max(0, (count - 1) * s + d * (k - 1) + 1 - n - p))
    if any([*padding, *beyond]):
        around = (padding[1], beyond[1], padding[0], beyond[0])
        inputs = F.pad(inputs, around, value=-torch.inf)
    windows = [
        (row * sizes[1] + column, inputs[:, :, _every(row, counts[0], stride[0])][
            ..., _every(column, counts[1], stride[1])])
        for row in range(0, kernel[0] * dilation[0], dilation[0])
        for column in range(0, kernel[1] * dilation[1], dilation[1])
    ]  # fmt: skip
    best = windows[0][1]
    places = torch.full_like(best, windows[0][0], dtype=torch.int64)
    for place, values in windows[1:]:
        higher = values > best
        places = torch.where(higher, place, places)
        best = torch.where(higher, values, best)
    rows, columns = (
        torch.arange(n, device=best.device) * s - p for n, s, p in zip(counts, stride, padding, strict=True)
    )
    return best, places + (rows[:, None] * sizes[1] + columns)


def max_pool_backward(
    upstream: torch.Tensor,
    inputs: torch.Tensor,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    places: torch.Tensor,
) -> torch.Tensor:
    """Every window's gradient, added where its maximum is; arguments as ATen's."""
    nothing = torch.zeros_like(inputs).flatten(2)
    return nothing.scatter_add(2, places.flatten(2), upstream.flatten(2)).view(inputs.shape)


def _every(first: int, count: int, step: int) -> slice:
    return slice(first, first + (count - 1) * step + 1, step)


def _pair(values: Sequence[int]) -> list[int]:
    return [*values] * (3 - len(values))
