#!/usr/bin/env bash
# Softplus with a large beta takes the place of ReLU where attributions are to be smooth (Dombrowski et al., NeurIPS 2019).
# openvino.convert_model reads a torch module through a trace, or what torch.export made of it. Expected: both give torch's numbers.
# Behaviour: the trace's conversion drops beta and the threshold, without an error or warning, and computes Softplus with beta 1.
# What torch.export made is right.
# Seen with OpenVINO 2026.4.1, torch 2.14.1, Python 3.11, on an x86-64 CPU, in fp32; largest difference from torch for inputs of -3 to 3,
# and of the trace from Softplus with beta 1:
#   beta    trace     torch.export    trace from beta 1
#   1       2.4e-07        2.4e-07              2.4e-07
#   10      6.1e-01        1.2e-07              2.4e-07
#   50      6.3e-01        1.5e-07              2.4e-07
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 openvino==2026.4.1 packaging==25.0
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings

warnings.filterwarnings("ignore")
import openvino
import torch

core = openvino.Core()
inputs = torch.linspace(-3, 3, 24).reshape(1, 2, 3, 4)


def difference(model, expected):
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return float((torch.from_numpy(compiled(inputs.numpy())[0]) - expected).abs().max())


found = {}
print("beta    trace     torch.export    trace from beta 1")
for beta in (1, 10, 50):
    module = torch.nn.Softplus(beta=beta).eval()
    traced = openvino.convert_model(module, example_input=inputs)
    exported = openvino.convert_model(torch.export.export(module, (inputs,)))
    found[beta] = (
        difference(traced, module(inputs)),
        difference(exported, module(inputs)),
        difference(traced, torch.nn.functional.softplus(inputs)),
    )
    print(f"{beta:<8d}{found[beta][0]:.1e}{found[beta][1]:15.1e}{found[beta][2]:21.1e}")
dropped = all(found[beta][0] > 0.1 and found[beta][2] < 1e-5 for beta in (10, 50))
sys.exit(not (dropped and found[1][0] < 1e-5 and all(exported < 1e-5 for _, exported, _ in found.values())))
PY
