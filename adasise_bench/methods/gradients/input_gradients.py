"""Gradients of a class's raw output with respect to the network's input."""

from __future__ import annotations

import torch

from adasise_bench.models.classifier import Classifier
from adasise_bench.utils.precision import arithmetic


def input_gradients(classifier: Classifier, inputs: torch.Tensor, target: int) -> torch.Tensor:
    """Differentiate the raw output at image level (:meth:`Classifier.outputs`), in fp32 arithmetic.

    The graph starts at the inputs. The parameters' ``requires_grad`` does not matter, and stays as it is.

    Args:
        classifier: the network.
        inputs: (N, 3, H, W) float32 network inputs.
        target: index of the class.

    Returns:
        (N, 3, H, W) float32; zero where the output does not depend on the input.
    """
    with torch.enable_grad(), arithmetic("fp32", classifier.device):
        inputs = inputs.detach().requires_grad_()
        output = classifier.outputs(inputs)[:, target].sum()
        if not output.requires_grad:
            return torch.zeros_like(inputs)
        return torch.autograd.grad(output, inputs, materialize_grads=True)[0]
