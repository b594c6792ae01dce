#!/usr/bin/env bash
# Occlusion slides a window over the picture and gives the window's pixels the score that belongs to it. Expected: at the border, the
# window is cut or not placed, so that pixels only share a score with pixels nearby.
# Behaviour: zennit's window goes on at the opposite side, as on a torus, wherever it does not fit, without an error. That is so for
# all overlapping windows, those of zennit's own documentation (8 pixels at strides of 4 over 32 x 32) included. An object at one border
# lights up the opposite border, and one in a corner all four corners.
# Seen with zennit 0.5.1, torch 2.14.1, Python 3.11, on an x86-64 CPU, with a network that gives the brightness and a picture whose
# lower right 4 x 4 pixels are bright; the map's sum over each corner of 4 x 4 pixels, of which only the last should be above 0:
#   upper left    upper right    lower left    lower right
#        256.0          512.0         512.0         1024.0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 zennit==0.5.1
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings

warnings.filterwarnings("ignore")
import torch
from zennit.attribution import Occlusion


class Brightness(torch.nn.Module):
    def forward(self, pictures):
        bright = pictures.sum(dim=(1, 2, 3))
        return torch.stack([bright, -bright], dim=1)


picture = torch.zeros(1, 1, 32, 32)
picture[..., -4:, -4:] = 1
with Occlusion(Brightness(), window=8, stride=4) as attributor:
    _, relevance = attributor(picture, lambda output: torch.eye(2)[[0]] * output)
first, last = slice(0, 4), slice(-4, None)
corners = {
    "upper left": relevance[..., first, first],
    "upper right": relevance[..., first, last],
    "lower left": relevance[..., last, first],
    "lower right": relevance[..., last, last],
}
print("    ".join(corners))
print("    ".join(f"{float(values.sum()):{len(name)}.1f}" for name, values in corners.items()))
sys.exit(not float(corners["upper left"].sum()) > 0)
PY
