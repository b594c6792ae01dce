#!/usr/bin/env bash
# Since torch 2.9 each library that computes float32 products has a switch of its own: torch.backends.mkldnn.fp32_precision for
# oneDNN on a CPU, torch.backends.cudnn's and torch.backends.cuda.matmul's for a GPU, torch.backends.fp32_precision for all.
# Expected: setting oneDNN's changes what oneDNN does, and no other switch.
# Behaviour: it sets the switch for all libraries. torch.backends.fp32_precision then reads bf16, and cuDNN's convolutions lose
# the tf32 that they have by default.
# Seen with torch 2.14.1, Python 3.11, on an x86-64 CPU:
#   before: all none, oneDNN none, cuDNN's convolutions tf32
#   after:  all bf16, oneDNN bf16, cuDNN's convolutions none
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 numpy
"$folder/venv/bin/python" - <<'PY'
import sys

import torch

backends = torch.backends


def read():
    return backends.fp32_precision, backends.mkldnn.fp32_precision, backends.cudnn.conv.fp32_precision


def line(values):
    return "all {}, oneDNN {}, cuDNN's convolutions {}".format(*values)


before = read()
backends.mkldnn.fp32_precision = "bf16"
after = read()
print("before:", line(before))
print("after: ", line(after))
sys.exit(not (before == ("none", "none", "tf32") and after == ("bf16", "bf16", "none")))
PY
