"""Whatever code changes for its whole process is put back, as torch says, and as a few operations show."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile.refusals import refused
from torch import nn

from adasise_bench.utils.process_state import restored


def fingerprint() -> dict[str, Any]:
    """What torch says of its settings, and what a few operations give."""
    backends: Any = torch.backends
    made = torch.zeros(1)
    with torch.enable_grad():
        leaf = torch.full((1,), -1.0, device="cpu", dtype=torch.float32).requires_grad_()
    layer = nn.ReLU()
    values = {
        "made": (made.dtype, made.device),
        "functions": [
            str(found) for found in (torch.relu(leaf), nn.functional.relu(leaf), leaf.relu(), layer(leaf))
        ],
        "modes": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")),
        "autocast on a GPU": (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")),
        "autocast cache": torch.is_autocast_cache_enabled(),
        "deterministic": (
            torch.are_deterministic_algorithms_enabled(),
            torch.is_deterministic_algorithms_warn_only_enabled(),
            backends.cudnn.deterministic,
            torch.utils.deterministic.fill_uninitialized_memory,
        ),
        "libraries": (backends.cudnn.enabled, backends.cudnn.benchmark, torch._C._get_mkldnn_enabled()),
        "reduced": backends.cuda.matmul.allow_bf16_reduced_precision_reduction,
        "attention": (backends.cuda.flash_sdp_enabled(), backends.cuda.math_sdp_enabled()),
        "threads": torch.get_num_threads(),
        "denormal": str(torch.full((), 1e-310, dtype=torch.float64, device="cpu").item() * 0.5),
        "directory": Path.cwd(),
        "environment": {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "TORCH_LOGS")},
        "warnings": (list(warnings.filters), warnings.showwarning),
        "numpy": np.geterr(),
    }  # fmt: skip
    if hasattr(backends, "fp32_precision"):
        values["fp32"] = [part.fp32_precision for part in (backends, backends.cudnn, backends.mkldnn)]
    return values


def backward_hook() -> None:
    nn.modules.module.register_module_full_backward_hook(lambda *_: None)


VANDALS: dict[str, Callable[[], Any]] = {
    "default dtype": lambda: torch.set_default_dtype(torch.float16),
    "default type": lambda: torch.set_default_tensor_type(torch.DoubleTensor),
    "default device": lambda: torch.set_default_device("meta"),
    "device entered": lambda: torch.device("meta").__enter__(),
    "grad mode": lambda: torch.set_grad_enabled(not torch.is_grad_enabled()),
    "autocast": lambda: torch.autocast("cpu", dtype=torch.float16).__enter__(),
    "autocast's cache": lambda: torch.set_autocast_cache_enabled(False),
    "autocast on a GPU": lambda: torch.set_autocast_dtype("cuda", torch.bfloat16),
    "anomaly detection": lambda: torch.autograd.set_detect_anomaly(True),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "memory": lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
    "cudnn.benchmark": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "cudnn.deterministic": lambda: setattr(torch.backends.cudnn, "deterministic", True),
    "cudnn off": lambda: setattr(torch.backends.cudnn, "enabled", False),
    "oneDNN off": lambda: setattr(torch.backends.mkldnn, "enabled", False),
    "reduced sums": lambda: setattr(
        torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction", False
    ),
    "attention": lambda: torch.backends.cuda.enable_math_sdp(False),
    "fp32 of all": lambda: setattr(torch.backends, "fp32_precision", "tf32"),
    "fp32 of cudnn": lambda: setattr(torch.backends.cudnn, "fp32_precision", "ieee"),
    "fp32 of oneDNN": lambda: setattr(torch.backends.mkldnn, "fp32_precision", "bf16"),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "denormal": lambda: torch.set_flush_denormal(True),
    "forward hook": lambda: nn.modules.module.register_module_forward_hook(lambda _m, _i, out: out + 1),
    "forward pre-hook": lambda: nn.modules.module.register_module_forward_pre_hook(lambda _m, i: (i[0] + 9,)),
    "torch.relu": lambda: setattr(torch, "relu", torch.abs),
    "functional.relu": lambda: setattr(nn.functional, "relu", lambda x, inplace=False: x * 3),
    "Tensor.relu": lambda: setattr(torch.Tensor, "relu", torch.Tensor.abs),
    "directory": lambda: os.chdir("/"),
    "variable set": lambda: os.environ.update(TORCH_LOGS="+dynamo"),
    "variable removed": lambda: os.environ.pop("OMP_NUM_THREADS"),
    "warnings silenced": lambda: warnings.simplefilter("ignore"),
    "warnings printed": lambda: setattr(warnings, "showwarning", print),
    "numpy": lambda: np.seterr(all="raise"),
}  # fmt: skip


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("name", VANDALS)
def test_a_setting_is_put_back(
    name: str, fails: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    if name.startswith("fp32") and not hasattr(torch.backends, "fp32_precision"):
        pytest.skip("this torch has no such switches")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.chdir(tmp_path)
    before, told = fingerprint(), []
    try:
        with restored("code of a test") as told:
            VANDALS[name]()
            assert fingerprint() != before
            if fails:
                raise KeyError(name)
    except KeyError:
        assert fails
    assert len(told) >= 1
    assert fingerprint() == before


def test_hooks_of_gradients_are_removed() -> None:
    with restored("code of a test") as told:
        backward_hook()
    assert set(told) == {"the hooks of all modules"}
    assert not nn.modules.module._global_backward_hooks
    assert nn.modules.module._global_is_full_backward_hook is None


def test_nothing_is_told_of_code_that_changes_nothing_or_cleans_up() -> None:
    with restored("code of a test") as told:
        with torch.no_grad(), torch.autocast("cpu"), torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
        nn.Linear(2, 2)(torch.ones(1, 2)).sum().backward()
    assert told == []


def test_what_cannot_be_put_back_is_named() -> None:
    mode = torch.inference_mode()

    def leave_it_on() -> None:
        with restored("mine:method"):
            mode.__enter__()

    try:
        refused(leave_it_on, "mine:method: changed torch's inference mode, which cannot be undone")
    finally:
        mode.__exit__(None, None, None)


def test_a_setting_that_may_change_is_left_alone() -> None:
    try:
        with restored("code of a test", keep=("torch's default dtype",)) as told:
            torch.set_default_dtype(torch.float64)
        assert told == []
        assert torch.zeros(1).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
