"""Rewrites a network so that it computes the same faster (batch normalisation) or repeatably (pooling)."""

from __future__ import annotations

import copy
from functools import lru_cache
from itertools import pairwise

import torch
from torch import nn

from adasise_bench.utils.devices import float64_device
from adasise_bench.utils.precision import arithmetic

_ROUNDING = 1e-3


def fold_batchnorm(module: nn.Module) -> nn.Module:
    """Replace every convolution with a batch normalisation behind it by one convolution, in place.

    Pairs are found by their order among the children of a module, as in torchvision's networks. The folded
    weights are computed in float64, so that outputs change by float32 rounding only.

    Args:
        module: a network in evaluation mode.

    Returns:
        The same module; the batch normalisations have become identities.
    """
    for parent in module.modules():
        for (conv_name, conv), (norm_name, norm) in pairwise(list(parent.named_children())):
            if (
                isinstance(conv, nn.Conv2d)
                and type(norm) is nn.BatchNorm2d  # its subclasses may do more, as timm's with activations do
                and conv.out_channels == norm.num_features
            ):
                setattr(parent, conv_name, _folded(conv, norm))
                setattr(parent, norm_name, nn.Identity())
    return module


def folded_where_exact(module: nn.Module, image: torch.Tensor) -> nn.Module:
    """The network with its batch normalisations folded, if its outputs then change by rounding only.

    Folding joins a convolution with the normalisation that is registered after it, which need not run after
    it. The outputs are compared in fp32, because TF32 rounds the folded weights differently. A forward pass
    that was put into the object, as a function, goes on calling the layers of the network that it was written
    for; such a network is used as it is, since hooks on the layers of its copy would never be called.
    """
    try:
        folded = fold_batchnorm(copy.deepcopy(module))
        with torch.no_grad(), arithmetic("fp32", image.device):
            before, layers = _outputs_and_layers(module, image)
            after, own_layers = _outputs_and_layers(folded, image)
    except Exception:  # a network that cannot be copied or folded is used as it is
        return module
    exact = float((before - after).abs().max()) <= _ROUNDING * float(before.abs().max())
    return folded if exact and own_layers == layers else module


def _outputs_and_layers(module: nn.Module, image: torch.Tensor) -> tuple[torch.Tensor, list[str]]:
    """The outputs of a network, and the names of its layers in the order in which they ran."""
    ran: list[str] = []
    hooks = [
        layer.register_forward_hook(lambda *_, name=name: ran.append(name))
        for name, layer in module.named_modules()
    ]
    try:
        return module(image), ran
    finally:
        for hook in hooks:
            hook.remove()


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    device = conv.weight.device
    host = float64_device(device)
    fused = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.to(host).double(), norm.to(host).double())
    return fused.to(torch.float32).to(device).requires_grad_(False)


class MatrixAveragePool(nn.Module):
    """The same function as ``nn.AdaptiveAvgPool2d`` but for rounding, with gradients that a GPU can repeat.

    Args:
        size: height and width of the output.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self._size = size

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, C, h, w) to (N, C, *size); the input itself if it already has that size."""
        if inputs.shape[2:] == self._size:
            return inputs
        rows, columns = (
            _averages(length, count, inputs.dtype, inputs.device)
            for length, count in zip(inputs.shape[2:], self._size, strict=True)
        )
        return rows @ inputs @ columns.T


def with_repeatable_pooling(module: nn.Module) -> nn.Module:
    """Replace every adaptive average pooling in place, except those to one pixel, which are plain means."""
    for parent in module.modules():
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.AdaptiveAvgPool2d):
                size = child.output_size if isinstance(child.output_size, tuple) else (child.output_size,) * 2
                if size != (1, 1) and None not in size:
                    setattr(parent, name, MatrixAveragePool((int(size[0] or 1), int(size[1] or 1))))
    return module


@lru_cache(maxsize=32)
def _averages(length: int, count: int, dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """(count, length): row i averages from floor(i·length/count) up to ceil((i+1)·length/count)."""
    weights = torch.zeros(count, length)
    for i in range(count):
        start, stop = i * length // count, -(-(i + 1) * length // count)
        weights[i, start:stop] = 1 / (stop - start)
    return weights.to(device, dtype)
