#!/usr/bin/env bash
# Grad-CAM++ (Chattopadhyay et al., WACV 2018), equation 19: alpha = g^2 / (2 g^2 + g^3 * sum of A), where the sum runs over the
# whole feature map A and g^3 is that of the position itself. Expected: torchcam's GradCAMpp gives channels the weights
# sum of alpha * ReLU(g).
# Behaviour: the division by the denominator is done in place on a tensor selected by a boolean mask, which is a copy, and is lost:
# alpha stays g^2, and the weights are the sums of g^2 * ReLU(g). They no longer weigh positions as the paper does.
# Seen with torchcam 0.5.0, torch 2.14.1, torchvision 0.29.1, Python 3.11, on an x86-64 CPU, weights over the largest:
#   equation 19:         0.5965 0.5772 0.9359 1.0000
#   without denominator: 0.4279 0.2953 0.8805 1.0000
#   torchcam:            0.4279 0.2953 0.8805 1.0000
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 torchcam==0.5.0
"$folder/venv/bin/python" - <<'PY'
import sys

import torch
from torch import nn
from torchcam.methods import GradCAMpp

torch.manual_seed(0)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.head = nn.Linear(4 * 36, 2)

    def forward(self, picture):
        return self.head(self.relu(self.conv(picture)).flatten(1))


network = Network().eval()
picture = torch.rand(1, 3, 6, 6)
maps = network.relu(network.conv(picture)).detach().requires_grad_()
g = torch.autograd.grad(network.head(maps.flatten(1))[0, 1], maps)[0][0]
a = maps.detach()[0]


def over_largest(alpha):
    found = (alpha * g.clamp(min=0)).sum(dim=(1, 2))
    return found / found.max()


paper = over_largest(g**2 / (2 * g**2 + a.sum(dim=(1, 2), keepdim=True) * g**3))
undivided = over_largest(g**2)
extractor = GradCAMpp(network, target_layer="relu")
found = extractor._get_weights(1, network(picture))[0].flatten()
found = found / found.max()
for name, values in (("equation 19:", paper), ("without denominator:", undivided), ("torchcam:", found)):
    print(f"{name:21s}", " ".join(f"{float(value):.4f}" for value in values))
sys.exit(not (torch.allclose(found, undivided, atol=1e-4) and float((found - paper).abs().max()) > 0.1))
PY
