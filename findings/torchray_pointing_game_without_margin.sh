#!/usr/bin/env bash
# The pointing game counts a hit where a map's largest value lies on an object, or within a tolerance of it: 15 pixels by default in
# TorchRay, as in the papers. Expected: with tolerance=0, the game without a margin, a point in the middle of the object hits.
# Behaviour: distances must be smaller than the tolerance, and none is smaller than 0, so that every point misses and the accuracy of
# every method is 0, without an error. The game without a margin is tolerance=1; with the default of 15, a point that is
# 15 pixels away misses.
# Seen with torchray 1.0.0.2, torch 2.14.1, torchvision 0.29.1, Python 3.11, on an x86-64 CPU, with an object in columns 10 to 29:
#   tolerance     in the middle    on its last column    1 pixel away    14 pixels away    15 pixels away
#   0                      miss                  miss            miss              miss              miss
#   1                       hit                   hit            miss              miss              miss
#   15                      hit                   hit             hit               hit              miss
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
from torchray.benchmark.pointing_game import PointingGame

on_object = torch.zeros(60, 60, dtype=torch.bool)
on_object[10:30, 10:30] = True
places = {"in the middle": 20, "on its last column": 29, "1 pixel away": 30, "14 pixels away": 43, "15 pixels away": 44}
print("tolerance     " + "    ".join(places))
hits = {}
for tolerance in (0, 1, 15):
    game = PointingGame(num_classes=20, tolerance=tolerance)
    for place, column in places.items():
        hits[tolerance, place] = game.evaluate(on_object, (column, 20)) == 1
    print(
        f"{tolerance:<10d}"
        + "".join(f"{'hit' if hits[tolerance, place] else 'miss':>{len(place) + 4}s}" for place in places)
    )
none_without_margin = not any(hits[0, place] for place in places)
sys.exit(not (none_without_margin and hits[1, "in the middle"] and hits[15, "14 pixels away"]))
PY
