"""fp32 means all digits, whichever of torch's switches a process has used, and leaves them as they were."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import golden_maps
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adasise_bench.methods import Request
from adasise_bench.methods.parsing import parse_method
from adasise_bench.methods.registry import METHODS
from adasise_bench.run import network
from adasise_bench.run.config_file import validate
from adasise_bench.utils.precision import arithmetic
from adasise_bench.utils.timing import PhaseClock

CPU = torch.device("cpu")
HAS_NEW = hasattr(torch.backends.cuda.matmul, "fp32_precision")

needs_new = pytest.mark.skipif(not HAS_NEW, reason="torch 2.8 has the old switches only")


def new_switches() -> dict[str, Any]:
    backends = torch.backends
    return {
        "backends": backends,
        "cudnn": backends.cudnn,
        "cuda.matmul": backends.cuda.matmul,
        "cudnn.conv": backends.cudnn.conv,
        "cudnn.rnn": backends.cudnn.rnn,
        "mkldnn": backends.mkldnn,
        "mkldnn.matmul": backends.mkldnn.matmul,
        "mkldnn.conv": backends.mkldnn.conv,
        "mkldnn.rnn": backends.mkldnn.rnn,
    }


def state() -> dict[str, Any]:
    """What every switch reads, old and new; that an old one cannot be read is a state, too."""
    old: dict[str, Callable[[], Any]] = {
        "matmul precision": torch.get_float32_matmul_precision,
        "cuBLAS": lambda: torch.backends.cuda.matmul.allow_tf32,
        "cuDNN": lambda: torch.backends.cudnn.allow_tf32,
    }
    found = {name: switch.fp32_precision for name, switch in new_switches().items()} if HAS_NEW else {}
    for name, read in old.items():
        try:
            found[name] = read()
        except RuntimeError:
            found[name] = "cannot be read"
    return found


@pytest.fixture(autouse=True)
def switches_as_found() -> Iterator[None]:
    """Put torch's defaults back after each test."""
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = True
    for name, switch in new_switches().items() if HAS_NEW else ():
        if name != "mkldnn":  # setting it sets the one for all libraries (torch 2.14)
            switch.fp32_precision = "tf32" if name in ("cudnn.conv", "cudnn.rnn") else "none"


TOUCHES = {
    "nothing": "pass",
    "old matmul": "torch.backends.cuda.matmul.allow_tf32 = True",
    "old cuDNN": "torch.backends.cudnn.allow_tf32 = False",
    "high": "torch.set_float32_matmul_precision('high')",
    "medium": "torch.set_float32_matmul_precision('medium')",
    "new, all": "torch.backends.fp32_precision = 'tf32'",
    "new, all in full": "torch.backends.fp32_precision = 'ieee'",
    "new matmul": "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "new cuDNN": "torch.backends.cudnn.fp32_precision = 'ieee'",
    "new convolution": "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "new recurrence": "torch.backends.cudnn.rnn.fp32_precision = 'ieee'",
    "new oneDNN": "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "both": "torch.set_float32_matmul_precision('medium'); torch.backends.fp32_precision = 'ieee'",
}


@pytest.mark.parametrize("touch", [touch if HAS_NEW or "fp32_precision" not in TOUCHES[touch] else
                                   pytest.param(touch, marks=needs_new) for touch in TOUCHES])  # fmt: skip
def test_every_switch_is_set_and_put_back(touch: str) -> None:
    exec(TOUCHES[touch])
    found = state()
    for precision, matmul, on_gpu in (("fp32", "highest", "ieee"), ("tf32", "high", "tf32")):
        with arithmetic(precision, CPU):  # type: ignore[arg-type]
            inside = state()
            assert inside["matmul precision"] == matmul
            assert inside["cuBLAS"] is inside["cuDNN"] is (precision == "tf32")
            for name in new_switches() if HAS_NEW else ():
                if name.startswith(("cuda.", "cudnn.")):
                    assert inside[name] == on_gpu
                elif name.startswith("mkldnn."):
                    assert inside[name] == "ieee"
            with arithmetic("fp32", CPU):
                assert state()["cuBLAS"] is state()["cuDNN"] is False
            assert state() == inside
        assert state() == found
    with pytest.raises(KeyError), arithmetic("fp32", CPU):
        raise KeyError
    assert state() == found


@needs_new
def test_a_switch_that_followed_another_still_does() -> None:
    torch.backends.fp32_precision = "ieee"  # type: ignore[attr-defined]
    with arithmetic("tf32", CPU):
        pass
    torch.backends.fp32_precision = "tf32"  # type: ignore[attr-defined]
    assert torch.backends.cuda.matmul.fp32_precision == "tf32"


NETWORK = """
import torch
{touch}

def network():
    from torch import nn
    {touch}
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 6),
    )
"""


@pytest.mark.parametrize(
    "touch",
    ["high", pytest.param("new, all", marks=needs_new), pytest.param("new convolution", marks=needs_new)],
)
def test_a_network_of_the_users_own_may_have_touched_either(touch: str, tmp_path: Path) -> None:
    (tmp_path / "touching.py").write_text(NETWORK.format(touch=TOUCHES[touch]))
    entry = {"source": "touching:network", "mean": [0.5] * 3, "std": [0.25] * 3}
    config = tmp_path / "run.json"
    config.write_text(
        json.dumps(
            {
                "data": {"root": "embedded", "input_size": 32},
                "models": {"mine": entry},
                "methods": ["sise", {"name": "rise", "masks": 20}],
                "device": "cpu",
                "limit": 1,
            }
        )
    )
    command = [sys.executable, "-m", "adasise_bench", "run", "--config", str(config), "--output", "out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


class Products(TorchDispatchMode):
    """Counts float32 matrix products and convolutions, and names those for which TF32 is allowed."""

    def __init__(self) -> None:
        super().__init__()
        self.count, self.rounded = 0, []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in _PRODUCTS and args[0].dtype == torch.float32:
            self.count += 1
            if torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32:
                self.rounded.append(name)
        return func(*args, **(kwargs or {}))


_PRODUCTS = {
    "convolution", "convolution_backward", "mm", "bmm", "addmm", "baddbmm", "mv", "dot", "addmv", "addbmm",
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_no_product_of_an_explanation_is_rounded_to_tf32(method: str) -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.allow_tf32 = True
    classifier = golden_maps.network()
    options = parse_method({"name": method} | golden_maps.OPTIONS.get(method, {}))
    image = torch.randn(1, 3, 24, 20, generator=torch.Generator().manual_seed(1))
    inside = torch.ones(24, 20, dtype=torch.bool)
    with Products() as products:
        options.check(classifier, image)
        options.explain(classifier, Request(options, image, 1, inside=inside), PhaseClock(CPU))
    assert products.rounded == []
    assert products.count or method in ("random", "centre", "edge", "box_oracle")


@pytest.mark.parametrize("entry", [{}, {"source": "torchvision", "arch": "resnet18", "mean": [0] * 3}])
def test_no_product_of_loading_is_rounded_to_tf32(entry: dict[str, Any]) -> None:
    torch.set_float32_matmul_precision("high")
    tree = {
        "data": {"root": "embedded", "input_size": 64},
        "models": {"mine" if entry else "scenes_vgg": entry},
        "methods": ["sise", "lrp", "cam", "ablation_cam"],
    }
    with Products() as products:
        network.load(validate(tree, "test"), "mine" if entry else "scenes_vgg", CPU)
    assert products.rounded == []
    assert products.count
