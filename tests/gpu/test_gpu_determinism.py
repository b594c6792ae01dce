"""Deterministic runs on a GPU repeat each other bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gpu_network  # noqa: F401  # sets what cuBLAS needs before it is used
import pytest
import torch
from drawn_scenes import assert_same

from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run

pytestmark = pytest.mark.gpu

METHODS: list[Any] = [
    "sise", "ada_sise", "grad_cam", "grad_cam_pp", "cam", "score_cam", "ablation_cam", "full_grad",
    "gradient", "lrp", {"name": "rise", "masks": 64}, {"name": "integrated_gradients", "steps": 10},
    {"name": "extremal_perturbation", "areas": [0.05, 0.15], "iterations": 5, "step": 12, "sigma": 12},
]  # fmt: skip


def test_two_runs_write_the_same_records_and_maps(tmp_path: Path, cuda: torch.device) -> None:
    tree = {
        "data": {"root": "embedded", "input_size": 96},
        "models": {"scenes_vgg": {}},
        "methods": METHODS,
        "device": "cuda",
        "deterministic": True,
        "save_maps": True,
        "limit": 1,
    }
    for name in ("one", "other"):
        outcome = run(validate(tree, "test"), tmp_path / name)
        assert outcome.errors == 0
    assert_same(tmp_path / "other", tmp_path / "one")
