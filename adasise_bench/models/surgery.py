"""Folds batch normalisation into the convolutions before it: the same function with fewer passes."""

from __future__ import annotations

import copy
from itertools import pairwise

import torch
from torch import nn

from adasise_bench.models.precision import arithmetic

_ROUNDING = 1e-3


def fold_batchnorm(module: nn.Module) -> nn.Module:
    """Replace every convolution followed by a batch normalisation in evaluation mode, in place.

    Pairs are found by their order among a module's children, as in torchvision's networks. The folded
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
    """The network with its batch normalisations folded, if that leaves its outputs alone up to rounding.

    Folding pairs a convolution with the normalisation registered after it, which need not follow it. The
    outputs are compared in fp32: TF32 rounds the folded weights otherwise than the others.
    """
    try:
        folded = fold_batchnorm(copy.deepcopy(module))
        with torch.no_grad(), arithmetic("fp32", image.device):
            before, after = module(image), folded(image)
    except Exception:  # a network that cannot be copied or folded is used as it is
        return module
    return folded if float((before - after).abs().max()) <= _ROUNDING * float(before.abs().max()) else module


def _folded(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Conv2d:
    fused = torch.nn.utils.fusion.fuse_conv_bn_eval(conv.double(), norm.double())
    return fused.to(torch.float32).requires_grad_(False)
