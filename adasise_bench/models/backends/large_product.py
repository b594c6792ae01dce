"""Cuts an OpenVINO model at a large matrix product, which torch then computes from its own weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

_LARGE = 100e6
"""Bytes of weights from which a copy costs more than it saves. VGG16 has one such layer, of 411 MB."""


@dataclass(frozen=True)
class Cut:
    """A model in two halves, between which a product with large weights is left out.

    Attributes:
        before: OpenVINO's model from the pictures to the features, (N, K).
        weights: (M, K) float32, which share their memory with the network.
        after: OpenVINO's model from the product, (N, M), to the outputs.
    """

    before: Any
    weights: torch.Tensor
    after: Any


def cut_at_large_product(model: Any) -> Cut | None:
    """The halves of a model; ``None``, and the model as it was, where it has no product to cut at.

    Without it, OpenVINO arranges the weights anew, and the process holds them twice.

    Args:
        model: as converted, whose constants share their memory with the network.
    """
    from openvino import Model, opset13

    product = next((one for one in model.get_ordered_ops() if _is_large(one)), None)
    if product is None:
        return None
    features, readers = product.input_value(0), product.output(0).get_target_inputs()
    given = opset13.parameter(product.output(0).get_partial_shape(), product.get_element_type())
    for reader in readers:
        reader.replace_source_output(given.output(0))
    try:
        after = Model(model.get_results(), [given])
    except RuntimeError:  # the outputs depend on the pictures in another way, too
        for reader in readers:
            reader.replace_source_output(product.output(0))
        return None
    weights = torch.from_numpy(product.input_value(1).get_node().data)
    if not product.get_attributes()["transpose_b"]:
        weights = weights.T
    return Cut(Model([opset13.result(features)], model.get_parameters()), weights, after)


def multiplied(features: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The product of (N, K) features with (M, K) weights, (N, M) float32, without a copy of the weights.

    Torch computes float32 products with another library; oneDNN takes half of its time for 8 rows. Torch's
    compiler calls oneDNN by the same operator.
    """
    if _has_onednn() and weights.is_contiguous():
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(features, weights, None, "none", [], "")
        return product
    return F.linear(features, weights)


def _has_onednn() -> bool:
    """Whether this torch has oneDNN, and its operator."""
    there = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return bool(there) and hasattr(torch.ops.mkldnn, "_linear_pointwise")


def _is_large(operation: Any) -> bool:
    if operation.get_type_name() != "MatMul" or operation.get_attributes()["transpose_a"]:
        return False
    weights = operation.input_value(1).get_node()
    return (
        weights.get_type_name() == "Constant"
        and weights.get_element_type().get_type_name() == "f32"
        and len(weights.get_output_shape(0)) == len(operation.get_output_shape(0)) == 2
        and weights.data.nbytes >= _LARGE
    )
