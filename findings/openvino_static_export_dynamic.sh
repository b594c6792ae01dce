#!/usr/bin/env bash
# torch.export fixes the shape of a network's input unless it is told otherwise, and the exported program refuses inputs of others.
# Expected: OpenVINO's model of such a program has an input of that shape, for which it can plan its kernels.
# Behaviour: openvino.convert_model makes the batch, the height and the width dynamic. The model takes inputs that the program
# refuses; who wants the fixed shape must call reshape on the model, or name the shape in `input`.
# Seen with OpenVINO 2026.4.1, torch 2.14.1, Python 3.11, on an x86-64 CPU:
#   exported for (8, 3, 32, 32); converted: [?,3,?,?]; after reshape: [8,3,32,32]
#   the program refuses (2, 3, 40, 40), the converted model answers (2, 4)
# (packaging is installed because OpenVINO 2026.4.1 imports it there.)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 openvino==2026.4.1 packaging==25.0
"$folder/venv/bin/python" - <<'PY'
import sys

import openvino
import torch
from torch import nn

torch.manual_seed(0)
network = nn.Sequential(
    nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)
).eval()
program = torch.export.export(network, (torch.rand(8, 3, 32, 32),), strict=False)
other = torch.rand(2, 3, 40, 40)
try:
    program.module()(other)
    refused = False
except Exception as error:
    refused = True
    print("the program:", str(error).splitlines()[0][:100])
model = openvino.convert_model(program)
converted = str(model.inputs[0].partial_shape)
answered = openvino.compile_model(model, "CPU")(other.numpy())[0].shape
print("exported for (8, 3, 32, 32); converted:", converted, "; answers", answered)
model.reshape([8, 3, 32, 32])
reshaped = str(model.inputs[0].partial_shape)
print("after reshape:", reshaped)
as_described = refused and converted == "[?,3,?,?]" and answered == (2, 4) and reshaped == "[8,3,32,32]"
sys.exit(not as_described)
PY
