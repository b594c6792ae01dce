#!/usr/bin/env bash
# A network's gradient with respect to its input can be written as a second pass in which each convolution's weights serve a
# transposed convolution. Expected: it makes no difference whether the two operators of the graph share one constant or have
# a copy each.
# Behaviour: with OpenVINO's CPU plugin a shared constant gives wrong numbers, off by more than the largest of the right ones, without
# an error, when the convolution has as many outputs as inputs; with other shapes, and with two constants of equal values, all is right.
# Seen with openvino 2026.4.1, numpy 2.4, scipy 1.17, Python 3.11, on an x86-64 CPU with AVX-512 (largest deviation from scipy):
#   4 inputs, 8 outputs:   two constants 0.0000, one constant 0.0000
#   16 inputs, 16 outputs: two constants 0.0000, one constant 3.8 (of values up to 3.0)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 'numpy>=2.3,<2.5' 'scipy>=1.16,<1.18'
"$folder/venv/bin/python" - <<'PY'
import sys

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from scipy.signal import convolve2d, correlate2d

SIDE = 12


def by_openvino(picture, weights, shared):
    entry = ops.parameter(list(picture.shape), np.float32)
    first = ops.constant(weights)
    second = first if shared else ops.constant(weights.copy())
    maps = ops.relu(ops.convolution(entry, first, [1, 1], [1, 1], [1, 1], [1, 1]))
    back = ops.convolution_backprop_data(maps, second, [1, 1], pads_begin=[1, 1], pads_end=[1, 1])
    compiled = ov.Core().compile_model(ov.Model([back], [entry], "gradient"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(picture)[0][0]


def by_scipy(picture, weights):
    outputs, inputs = weights.shape[:2]
    maps = [sum(correlate2d(picture[0, i], weights[o, i], "same") for i in range(inputs)) for o in range(outputs)]
    maps = [np.maximum(one, 0) for one in maps]
    return np.stack([sum(convolve2d(maps[o], weights[o, i], "same") for o in range(outputs)) for i in range(inputs)])


print("openvino", ov.__version__)
largest = {}
for inputs, outputs in ((4, 8), (16, 16)):
    random = np.random.default_rng(1)
    weights = (random.standard_normal((outputs, inputs, 3, 3)) / np.sqrt(inputs * 9)).astype(np.float32)
    picture = random.standard_normal((1, inputs, SIDE, SIDE)).astype(np.float32)
    right = by_scipy(picture, weights)
    for shared in (False, True):
        largest[inputs, shared] = float(np.abs(by_openvino(picture, weights, shared) - right).max())
    print(
        f"{inputs} inputs, {outputs} outputs: two constants {largest[inputs, False]:.4f}, "
        f"one constant {largest[inputs, True]:.4f} (of values up to {np.abs(right).max():.1f})"
    )
same = largest[4, False] < 1e-3 and largest[4, True] < 1e-3 and largest[16, False] < 1e-3 and largest[16, True] > 0.5
sys.exit(not same)
PY
