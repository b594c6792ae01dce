#!/usr/bin/env bash
# shap explains pictures by hiding regions, which maskers.Image("inpaint_telea") fills in from what stays visible. Expected: what stays
# visible reaches the network as it is, and the values of all pixels add up to the output minus that of the picture hidden altogether.
# Behaviour: the picture is cut to 8-bit integers on the way. Where its values lie in 0 to 1, as most networks take them, all below 1
# becomes 0: the network sees black pictures only, even where nothing is hidden, without an error. The values add up to the output for
# black, and the object that the network looks for gets a negative share. The range 0 to 255 and "blur(5,5)" are right.
# Seen with shap 0.51.0, opencv-python-headless 4.13.0.92, numpy 2.4.6, Python 3.11, on an x86-64 CPU, with a network that gives the
# brightness of the left half, for a bright object there:
#   masker          values     nothing hidden, largest change    sum of values, expected    object
#   inpaint_telea   0 to 255                               0.0000          0.0877     0.0877    0.3732
#   inpaint_telea   0 to 1                                 0.9000         -0.2875     0.0875   -0.0359
#   inpaint_ns      0 to 1                                 0.9000         -0.2875     0.0875   -0.0359
#   blur(5,5)       0 to 1                                 0.0000         -0.0088    -0.0088    0.0094
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet shap==0.51.0 opencv-python-headless==4.13.0.92 numpy==2.4.6
"$folder/venv/bin/python" - <<'PY'
import sys
import warnings

warnings.filterwarnings("ignore")
import numpy as np
import shap

unit = np.full((16, 16, 3), 0.2, dtype=np.float32)
unit[4:12, 2:6] = 0.9
found = {}
print("masker          values     nothing hidden, largest change    sum of values, expected    object")
for masker_name, top in (("inpaint_telea", 255), ("inpaint_telea", 1), ("inpaint_ns", 1), ("blur(5,5)", 1)):
    picture = np.round(unit * top) if top > 1 else unit

    def brightness(pictures, top=top):
        return np.asarray(pictures)[:, :, :8].mean(axis=(1, 2, 3))[:, None] / top

    masker = shap.maskers.Image(masker_name, picture.shape)
    visible = masker(np.ones(picture.size, dtype=bool), picture)[0][0]
    change = float(np.abs(visible - picture).max()) / top
    expected = float((brightness(picture[None]) - brightness(masker(None, picture)[0]))[0, 0])
    values = shap.Explainer(brightness, masker)(picture[None], max_evals=200, batch_size=50, silent=True).values[0]
    found[masker_name, top] = change, float(values.sum()) - expected
    print(
        f"{masker_name:16s}0 to {top:<6d}{change:34.4f}{values.sum():16.4f}{expected:11.4f}{values[4:12, 2:6].sum():10.4f}"
    )
wrong = all(change > 0.5 and abs(gap) > 0.2 for change, gap in (found["inpaint_telea", 1], found["inpaint_ns", 1]))
right = all(change < 1e-6 and abs(gap) < 1e-3 for change, gap in (found["inpaint_telea", 255], found["blur(5,5)", 1]))
sys.exit(not (wrong and right))
PY
