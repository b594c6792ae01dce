#!/usr/bin/env bash
# IROF (Rieger and Hansen, 2020) replaces a picture's superpixels by the picture's mean, the most relevant first, and takes the area
# over the curve of scores. Expected: the value of a picture does not depend on the pictures beside it in the batch, and is 0 where the
# score never changes.
# Behaviour: superpixels are replaced by the mean over the whole batch as it is at that step, and a picture with fewer superpixels than
# another of its batch gets a curve that ends with a slope to 0. So the same pictures have other values, in another order, at each
# batch_size, which is 64 by default. And n points have n - 1 intervals, whose area is subtracted from n, so that a score that never
# changes gives 1 instead of 0, or 0.5 beside a picture with more superpixels.
# Seen with quantus 0.6.0, torch 2.14.1, numpy 2.3.5, scikit-image 0.26.0, Python 3.11, on an x86-64 CPU, with four grey pictures that are
# their own attributions, and networks that give 1 and the picture's brightness:
#   network       batch_size    values of the four pictures
#   constant      1                 1.000    1.000    1.000    1.000
#   constant      2                 0.500    1.000    1.000    1.000
#   constant      4                 0.500    1.000    1.000    1.000
#   brightness    1                 6.347    7.386   17.892   18.064
#   brightness    2               -30.346   22.748   26.712    5.177
#   brightness    4               -30.647   22.534   26.917    5.323
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 quantus==0.6.0 numpy==2.3.5 scikit-image==0.26.0
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import quantus
import torch


class Constant(torch.nn.Module):
    def forward(self, pictures):
        return torch.ones(len(pictures), 1)


class Brightness(torch.nn.Module):
    def forward(self, pictures):
        return pictures.mean(dim=(2, 3))


rows, columns = np.mgrid[:48, :48] / 48
slope, dark_slope, waves, cone = 0.8 - 0.3 * columns, 0.2 + 0.1 * rows, np.sin(9 * rows * columns), np.hypot(rows, columns)
pictures = np.stack([dark_slope, slope, 0.5 + 0.4 * waves, cone / 2])[:, None].astype(np.float32)
found = {}
print("network       batch_size    values of the four pictures")
for name, network in (("constant", Constant()), ("brightness", Brightness())):
    for batch_size in (1, 2, 4):
        values = quantus.IROF(return_aggregate=False, disable_warnings=True)(
            model=network.eval(),
            x_batch=pictures,
            y_batch=np.zeros(4, dtype=int),
            a_batch=pictures,
            softmax=False,
            device="cpu",
            batch_size=batch_size,
        )
        found[name, batch_size] = np.array(values)
        print(f"{name:14s}{batch_size:<14d}" + "".join(f"{value:9.3f}" for value in values))
never_zero = np.allclose(found["constant", 1], 1) and np.allclose(found["constant", 4].min(), 0.5)
neighbours = float(np.abs(found["brightness", 1] - found["brightness", 4]).max())
sys.exit(not (never_zero and neighbours > 1))
PY
