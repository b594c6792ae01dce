#!/usr/bin/env bash
# Excitation Backprop (Zhang et al., IJCV 2018) passes a probability down from one output, so that the map of every layer
# adds up to 1. Expected: TorchRay's function gives 1 for any layer of a torchvision ResNet.
# Behaviour: it gives 1 behind the last residual block only. Below, every shortcut counts the probability once more, with no
# warning: on ResNet-50 layer3 adds up to about 6 and layer1 to more than 2000. The function `update_resnet` of the same module
# mends it; neither the function's docstring nor an error points there.
# Seen with torchray 1.0.0.2, torch 2.14.1, torchvision 0.29.1, Python 3.11, on an x86-64 CPU:
#   as built by torchvision: layer4 1.00, layer3 6.34, layer2 233.1, layer1 2468.6
#   after update_resnet:     layer4 1.00, layer3 1.00, layer2 1.00, layer1 1.00
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 torchray==1.0.0.2
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings

warnings.filterwarnings("ignore")
import torch
import torchvision
from torchray.attribution.excitation_backprop import excitation_backprop, update_resnet

torch.manual_seed(0)
network = torchvision.models.resnet50(weights=None).eval()
picture = torch.rand(1, 3, 96, 96)
layers = ("layer4", "layer3", "layer2", "layer1")


def sums(module):
    return [float(excitation_backprop(module, picture, 3, saliency_layer=layer).sum()) for layer in layers]


def line(values):
    return ", ".join(f"{layer} {value:.4f}" for layer, value in zip(layers, values))


built = sums(network)
print("as built by torchvision:", line(built))
updated = sums(update_resnet(network))
print("after update_resnet:    ", line(updated))
same = abs(built[0] - 1) < 1e-3 and built[1] > 2 and built[2] > 20 and built[3] > 200
same &= all(abs(value - 1) < 1e-3 for value in updated)
sys.exit(not same)
PY
