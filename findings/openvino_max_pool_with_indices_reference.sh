#!/usr/bin/env bash
# OpenVINO's max pooling (opset 8) has a second output, the places of the maxima. Whoever needs the gradient of a network with
# respect to its input needs them.
# Expected: with and without this output, the CPU plugin runs the operation in generated code, a little slower with it.
# Behaviour: without it, it runs in generated code. As soon as the places are an output of the model, the pooling runs in the
# reference implementation (execution type ref_f32), several times slower, with the same values.
# Seen with OpenVINO 2026.4.1, Python 3.11, on an x86-64 CPU with AVX-512; the factor varies with the machine and is only printed:
#   values: jit_avx512_f32; values and places: ref_f32; 103 times as long
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet openvino==2026.4.1 packaging==25.0
"$folder/venv/bin/python" - <<'PY'
import sys

import numpy as np
import openvino as ov
from openvino import opset8

shape = [4, 64, 112, 112]
pictures = np.random.default_rng(0).random(shape, dtype=np.float32)
window = {"strides": [2, 2], "pads_begin": [1, 1], "pads_end": [1, 1], "kernel_shape": [3, 3]}


def run(places):
    inputs = opset8.parameter(shape, np.float32)
    pooled = opset8.max_pool(inputs, dilations=[1, 1], rounding_type="floor", **window)
    pooled.set_friendly_name("pooling")
    outputs = [pooled.output(number) for number in range(1 + places)]
    settings = {"PERF_COUNT": True, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = ov.compile_model(ov.Model(outputs, [inputs]), "CPU", settings)
    request = compiled.create_infer_request()
    for _ in range(5):
        found = request.infer({0: pictures})
    (node,) = [entry for entry in request.profiling_info if entry.node_name == "pooling"]
    return found[0], node.exec_type, node.real_time.total_seconds()


alone, fast, seconds = run(places=False)
both, slow, longer = run(places=True)
print(f"values: {fast}; values and places: {slow}; {longer / seconds:.0f} times as long")
print("same values:", np.array_equal(alone, both))
sys.exit(not ("jit" in fast and slow.startswith("ref") and np.array_equal(alone, both)))
PY
