"""A network that works in place scores and explains as the same function does that does not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import explained
from hostile.refusals import refused

from adasise_bench.models.classifier import Classifier
from adasise_bench.models.input_copies import _OnCopy
from adasise_bench.run import network
from adasise_bench.run.config_file import validate
from adasise_bench.utils import plugins
from adasise_bench.utils.errors import ConfigError

SOURCE = """
import os
import random
import warnings
import torch
from torch import nn

FACTS = {"mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25), "scale": 1}

class Network(nn.Module):
    def __init__(self, how):
        super().__init__()
        torch.manual_seed(1)
        self.how = how
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 6),
        )

    def forward(self, x):
        if self.how == "in place":
            x.mul_(0.5).add_(0.1)
        elif self.how == "through data":
            x.data.mul_(0.5).add_(0.1)
        elif self.how == "through numpy":
            values = x.detach().numpy()
            values *= 0.5
            values += 0.1
        elif self.how == "part":
            x[:, 1:].mul_(0.5).add_(0.1)
            x = torch.cat([x[:, :1] * 0.5 + 0.1, x[:, 1:]], dim=1)
        else:
            x = x * 0.5 + 0.1
        if self.how == "dtype":
            torch.set_default_dtype(torch.float64)
        if self.how == "folder":
            os.chdir("/")
        if self.how == "warnings":
            warnings.simplefilter("ignore")
        return self.body(x)

def make(how):
    torch.set_default_dtype(torch.float64)
    torch.backends.cudnn.benchmark = True
    os.chdir("/")
    random.seed(5)
    return Network(how), FACTS
"""


@pytest.fixture(autouse=True)
def _nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "nets", raising=False)
    plugins.load.cache_clear()
    (tmp_path / "nets.py").write_text(SOURCE)


def load(how: str, **changes: Any) -> Classifier:
    tree = {
        "data": {"root": "embedded", "input_size": 48},
        "models": {"mine": {"source": "nets:make", "options": {"how": how}}},
        "methods": ["sise"],
        "engine": {"layout": "contiguous", "batch_size": 8},
    } | changes
    return network.load(validate(tree, "test"), "mine", torch.device("cpu"))


@pytest.mark.parametrize("how", ["in place", "through data", "through numpy", "part"])
def test_inputs_stay_and_values_are_those_of_the_function(how: str) -> None:
    theirs, plain = load(how), load("out of place")
    picture = torch.randn(1, 3, 48, 48, generator=torch.Generator().manual_seed(2))
    image = picture.clone()
    assert theirs.blocks == plain.blocks
    for _ in range(2):
        assert torch.equal(theirs.scores(image), plain.scores(picture))
        assert torch.equal(image, picture)
    methods = ["sise", "grad_cam", "rise"] + ["gradient"] * (how in ("in place", "part"))
    for method in methods:
        entry = {"name": method, "masks": 20} if method == "rise" else method
        found, wanted = (explained(entry, network, picture, 1).saliency for network in (theirs, plain))
        assert torch.equal(found, wanted), method


def test_an_ordinary_network_gets_its_inputs_themselves() -> None:
    assert isinstance(load("in place").module.forward, _OnCopy)
    assert not isinstance(load("out of place").module.forward, _OnCopy)


@pytest.mark.parametrize(
    ("how", "named"), [("dtype", "torch's default dtype"), ("folder", "working directory")]
)
def test_a_forward_pass_that_sets_something_for_the_process_is_refused(how: str, named: str) -> None:
    refused(lambda: load(how), "models.mine: its forward pass changes", named, kind=ConfigError)
    assert torch.get_default_dtype() == torch.float32


def test_silenced_warnings_are_no_reason_to_refuse() -> None:
    assert load("warnings").blocks


def test_what_the_maker_sets_for_the_process_is_undone(tmp_path: Path) -> None:
    load("out of place")
    assert torch.zeros(1).dtype == torch.float32
    assert not torch.backends.cudnn.benchmark
    assert Path.cwd() == tmp_path
