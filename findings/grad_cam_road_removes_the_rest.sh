#!/usr/bin/env bash
# ROAD (Rong et al., ICML 2022) blurs away the most relevant pixels of a picture and measures the loss of score. In pytorch-grad-cam,
# ROADMostRelevantFirst(percentile=p) removes the pixels at or above the map's p-th percentile, and percentile="auto" those above
# Otsu's threshold of the map. Expected: "auto" removes the object that a good map marks; with p = 50, about half of the pixels go.
# Behaviour: "auto" is the other way round. What is most relevant is kept and everything else removed, so that a good map scores as a
# bad one. And where more than p % of the map are exact zeros, as usual after Grad-CAM's ReLU, the percentile is 0 and the whole picture
# is removed: its score is that of noise around 0. ROADCombined, whose default percentiles are 10 to 90, averages such scores.
# Seen with grad-cam 1.5.7, torch 2.14.1, Python 3.11, on an x86-64 CPU, with a network that gives the brightness of the picture, a
# bright disc on grey (brightness 0.25) and a map that is largest in the middle of the disc and 0 in 70 % of the picture:
#   percentile    removed of all, of the disc    change of the score
#   50                  1.000           1.000                 -0.251
#   80                  0.208           1.000                 -0.151
#   auto                0.827           0.083                  0.649
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 grad-cam==1.5.7
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import torch
from pytorch_grad_cam.metrics.road import ROADMostRelevantFirst

torch.manual_seed(0)


class Brightness(torch.nn.Module):
    def forward(self, pictures):
        return pictures.mean(dim=(1, 2, 3))[:, None]


rows, columns = np.mgrid[:32, :32]
distance = np.hypot(rows - 16, columns - 16)
disc = torch.from_numpy(distance < 8)
picture = (0.1 + 0.8 * disc.float()).expand(1, 3, 32, 32).clone()
saliency = np.clip(1 - distance / 10, 0, 1).astype(np.float32)[None]
found = {}
print("percentile    removed of all, of the disc    change of the score")
for percentile in (50, 80, "auto"):
    metric = ROADMostRelevantFirst(percentile=percentile)
    change, seen = metric(picture, saliency, [lambda output: output[0]], Brightness(), return_visualization=True)
    removed = ((seen - picture).abs().amax(dim=1) > 0)[0]
    found[percentile] = float(removed.float().mean()), float(removed[disc].float().mean()), float(change[0])
    print(f"{percentile!s:14s}{found[percentile][0]:11.3f}{found[percentile][1]:16.3f}{found[percentile][2]:23.3f}")
whole_picture = found[50][0] == 1
reversed_order = found["auto"][0] > 0.5 and found["auto"][1] < 0.5 and found["auto"][2] > 0
sys.exit(not (whole_picture and reversed_order and found[80][2] < 0))
PY
