#!/usr/bin/env bash
# Extremal Perturbation (Fong et al., ICCV 2019) finds the mask of a given area that preserves an output best. Expected: with
# areas=[0.1] the mask's mean over the picture ends near 0.1, whatever the picture's size.
# Behaviour: the area is a share of a frame that reaches beyond the picture on every side by the mask's smoothing (21 pixels), so
# that on a picture of 64 or 96 pixels the mask covers two to three times as much as asked for. The papers' tables
# and TorchRay's benchmark use pictures of about 224 pixels, where the factor is 1.35.
# Seen with torchray 1.0.0.2, torch 2.14.1, torchvision 0.29.1, Python 3.11, on an x86-64 CPU, with a network whose output is the
# picture's brightness, so that every pixel is worth the same:
#   64 x 64: asked 0.10, covered 0.318
#   96 x 96: asked 0.10, covered 0.220
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
from torchray.attribution.extremal_perturbation import extremal_perturbation


class Brightness(torch.nn.Module):
    def forward(self, picture):
        brightness = picture.mean(dim=(1, 2, 3))
        return torch.stack([-brightness, brightness], dim=1)


same = True
for side in (64, 96):
    mask, _ = extremal_perturbation(
        Brightness(), torch.ones(1, 3, side, side), 1, areas=[0.1], perturbation="fade", max_iter=800, smooth=0
    )
    print(f"{side} x {side}: asked 0.10, covered {float(mask.mean()):.3f}")
    same &= float(mask.mean()) > 0.17
sys.exit(not same)
PY
