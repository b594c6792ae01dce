#!/usr/bin/env bash
# Hiera in timm gives the tokens of its blocks as (N, 3136, 96) for a picture of 224 x 224 pixels, as many as a grid of 56 x 56 has.
# Expected: row by row, as the tokens of ViT, DeiT and of Hiera's own patch embedding, so that a reshape to (56, 56) is a feature map.
# Behaviour: the first block gives them in the order of mask units, each of which is attended to apart. A reshape works and gives a
# shuffled map, without an error; heat maps made from it point to places that have nothing to do with the evidence.
# `forward_intermediates` puts them in order.
# Seen with timm 1.0.31, torch 2.14.1, Python 3.11, on an x86-64 CPU, random weights; what changes where the upper left sixteenth
# of the picture changes (14 x 14 positions and their neighbours):
#   patch embedding, reshaped:       225 positions, rows 0 to 14, columns 0 to 14
#   first block, reshaped:           256 positions, rows 0 to 55, columns 0 to 50
#   first block, intermediates:      256 positions, rows 0 to 15, columns 0 to 15
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.14.1 torchvision==0.29.1 timm==1.0.31
"$folder/venv/bin/python" - <<'PY'
import sys

import timm
import torch

torch.manual_seed(0)
network = timm.create_model("hiera_tiny_224", pretrained=False).eval()
black = torch.zeros(1, 3, 224, 224)
lit = black.clone()
lit[..., :56, :56] = 1
tokens = {}
network.patch_embed.register_forward_hook(lambda _module, _inputs, output: tokens.update(embedding=output))
network.blocks[0].register_forward_hook(lambda _module, _inputs, output: tokens.update(block=output))


def maps(picture):
    with torch.no_grad():
        (ordered,) = network.forward_intermediates(picture, indices=[0], intermediates_only=True)
    reshaped = {name: values.transpose(1, 2).reshape(1, -1, 56, 56) for name, values in tokens.items()}
    return reshaped | {"ordered": ordered}


before, after = maps(black), maps(lit)
last = {}
for name, title in (
    ("embedding", "patch embedding, reshaped:"),
    ("block", "first block, reshaped:"),
    ("ordered", "first block, intermediates:"),
):
    changed = ((before[name] - after[name]).abs().amax(dim=1) > 1e-5)[0]
    rows, columns = (changed.any(dim=axis).nonzero().flatten() for axis in (1, 0))
    last[name] = int(rows.max()), int(columns.max())
    print(
        f"{title:30s}{int(changed.sum()):6d} positions, rows {int(rows.min())} to {last[name][0]}, "
        f"columns {int(columns.min())} to {last[name][1]}"
    )
same_values = torch.equal(before["block"].flatten(2).sort().values, before["ordered"].flatten(2).sort().values)
scattered = max(last["block"]) > 40 and max(last["embedding"] + last["ordered"]) < 20
sys.exit(not (scattered and same_values))
PY
