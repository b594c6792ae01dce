"""Rewrites OpenVINO's model of a network for 8-bit integers, by ranges that NNCF finds on fixed inputs."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image

from adasise_bench.data.scenes import draw_scene
from adasise_bench.data.transforms import Preprocessing, to_input

_INPUTS = 96
_SCENES = 24
_CELLS = 7
_EXACT_SHARE = 0.2
"""Share of the layers that stay as they are, from the input side: rounding there moves scores the most."""

_LAYERS = {"Convolution", "GroupConvolution", "MatMul"}
_NO_TELEMETRY = "NNCF_CI"
"""NNCF reports its use to its makers unless this variable is set when it is imported."""


def nncf_version() -> str | None:
    """NNCF's version; ``None`` where it is not installed. Nothing is imported for that."""
    try:
        return version("nncf")
    except PackageNotFoundError:
        return None


def quantised(model: Any, shape: torch.Size, preprocessing: Preprocessing) -> Any:
    """The model with 8-bit convolutions and matrix products, all but the first fifth of them.

    Args:
        model: OpenVINO's, for inputs of ``shape``.
        shape: (N, 3, H, W).
        preprocessing: how pictures become the network's inputs.
    """
    with _silenced_nncf() as nncf:
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet

        batches = [inputs.numpy() for inputs in calibration_batches(shape, preprocessing)]
        layers = [one for one in model.get_ordered_ops() if one.get_type_name() in _LAYERS]
        kept = [one.get_friendly_name() for one in layers[: round(_EXACT_SHARE * len(layers))]]
        # A histogram leaves single large values out of a range where this makes the other values more exact.
        ranges = nncf.AdvancedQuantizationParameters(
            activations_range_estimator_params=RangeEstimatorParametersSet.HISTOGRAM
        )
        return nncf.quantize(
            model,
            nncf.Dataset(batches),
            # With zero points for what is not at least 0, such as the input, scores stay nearer to fp32 than
            # with symmetric ranges for everything, NNCF's default.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(batches),
            ignored_scope=nncf.IgnoredScope(names=kept),
            advanced_parameters=ranges,
        )


def calibration_batches(shape: torch.Size, preprocessing: Preprocessing) -> Iterator[torch.Tensor]:
    """The shipped drawn scenes under smooth masks, as (N, 3, H, W) batches, always the same.

    What a run explains has no part in them: a value must not depend on ``limit`` or on a shard.

    Args:
        shape: of the batches.
        preprocessing: how pictures become the network's inputs.
    """
    count, size = shape[0], (shape[2], shape[3])
    scenes = [
        F.interpolate(_drawn(index, max(size), preprocessing), size, mode="bilinear")
        for index in range(_SCENES)
    ]
    generator = torch.Generator().manual_seed(0)
    for start in range(0, _INPUTS, count):
        cells = torch.rand(count, 1, _CELLS, _CELLS, generator=generator)
        masks = (2 * F.interpolate(cells, size, mode="bilinear") - 0.5).clamp(0, 1)
        pictures = torch.cat([scenes[number % _SCENES] for number in range(start, start + count)])
        yield (pictures * masks).contiguous()


def _drawn(index: int, side: int, preprocessing: Preprocessing) -> torch.Tensor:
    picture = Image.fromarray(draw_scene(0, index).pixels)
    return to_input(picture, "stretch", side, preprocessing)


@contextmanager
def _silenced_nncf() -> Iterator[Any]:
    """NNCF, which neither reports its use nor draws its progress."""
    found = os.environ.get(_NO_TELEMETRY)
    os.environ[_NO_TELEMETRY] = "1"
    try:
        with redirect_stdout(io.StringIO()):
            import nncf

            yield nncf
    finally:
        if found is None:
            del os.environ[_NO_TELEMETRY]
        else:
            os.environ[_NO_TELEMETRY] = found
