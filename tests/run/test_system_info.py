"""What a report of a fault gets to know: all that can be found, whatever is broken, and nobody's name."""

from __future__ import annotations

import getpass
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torchvision

from adasise_bench import __version__
from adasise_bench.models import engine_cache
from adasise_bench.run import system_info as module
from adasise_bench.run.system_info import describe_system, system_info

SECTIONS = ["versions", "machine", "devices", "engines", "places"]


def broken(*_: object, **__: object) -> Any:
    raise RuntimeError("broken\nin two lines \x1b[2J")


def test_every_fact_is_a_line_of_its_own() -> None:
    info = system_info()
    assert list(info) == SECTIONS
    assert info["versions"]["adasise-bench"] == __version__
    assert info["versions"]["torch"] == torch.__version__
    assert info["versions"]["torchvision"] == torchvision.__version__
    assert info["versions"]["torchray"] == "1.0.0.2"
    assert info["machine"]["threads"] == str(torch.get_num_threads())
    assert info["machine"]["instructions"] == torch.backends.cpu.get_cpu_capability()
    assert info["devices"]["cpu"] == info["machine"]["processor"]
    assert not [value for facts in info.values() for value in facts.values() if value.startswith("unknown")]
    lines = describe_system(info).splitlines()
    assert len(lines) == len(SECTIONS) + sum(len(facts) for facts in info.values())
    assert re.search(rf"^  torch +{re.escape(torch.__version__)}$", "\n".join(lines), re.MULTILINE)


def test_a_package_that_is_absent_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    there = module.package_version
    absent = {"timm", "openvino", "triton"}
    monkeypatch.setattr(module, "package_version", lambda name: None if name in absent else there(name))
    info = system_info()
    assert info["versions"]["timm"] == info["engines"]["openvino"] == "not installed"
    assert info["versions"]["numpy"] == there("numpy")
    assert info["engines"]["torch.compile, GPU"].startswith("cannot be used")


@pytest.mark.parametrize(
    ("compiler", "told"),
    [(None, "can be used: its compiler is g++"), ("clang++-0", "cannot be used: it needs clang++-0, which")],
)
def test_a_compiler_is_looked_for_as_torch_looks_for_it(
    monkeypatch: pytest.MonkeyPatch, compiler: str | None, told: str
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    if compiler:
        monkeypatch.setenv("CXX", compiler)
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++" if name == "g++" else None)
    assert system_info()["engines"]["torch.compile, CPU"].startswith(told)


BREAKABLE: list[tuple[object, str, str, str]] = [
    (platform, "python_version", "versions", "Python"),
    (module, "tool_commit", "versions", "commit"),
    (platform, "freedesktop_os_release", "machine", "distribution"),
    (module, "memory_bytes", "machine", "memory"),
    (os, "cpu_count", "machine", "cores"),
    (torch, "get_num_threads", "machine", "threads"),
    (torch.backends.cpu, "get_cpu_capability", "machine", "instructions"),
    (torch.cuda, "is_available", "devices", "cuda"),
    (torch.backends.cudnn, "version", "devices", "cuDNN"),
    (module, "nvidia_driver", "devices", "NVIDIA driver"),
    (shutil, "which", "engines", "torch.compile, CPU"),
    (engine_cache, "cache_file", "places", "engines"),
    (torch.hub, "get_dir", "places", "torch's downloads"),
]


@pytest.mark.parametrize(
    ("owner", "attribute", "section", "name"), BREAKABLE, ids=lambda value: str(value)[:30]
)
def test_what_cannot_be_found_says_so_in_its_line(
    monkeypatch: pytest.MonkeyPatch, owner: object, attribute: str, section: str, name: str
) -> None:
    whole = system_info()
    monkeypatch.setattr(owner, attribute, broken)
    info = system_info()
    assert info[section][name] == "unknown: RuntimeError: broken in two lines  [2J"
    assert {key: list(facts) for key, facts in info.items()} == {
        key: list(facts) for key, facts in whole.items()
    }
    others = [value for facts in info.values() for value in facts.values() if value.startswith("unknown")]
    assert len(others) <= 2  # `auto` asks for GPUs, too


def test_everything_else_is_told_where_torch_cannot_be_imported(tmp_path: Path) -> None:
    """In a process of its own, with a torch that fails as a missing library makes it fail."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch/__init__.py").write_text(
        "import sys\n"
        "count = sys.modules.setdefault('count', [])\n"
        "count.append(1)\n"
        "raise OSError(f'libcudart.so.13: cannot open shared object file, attempt {len(count)}')\n"
    )
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-m", "adasise_bench", "info", "--json"]
    environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{root}"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    info = json.loads(done.stdout)
    reason = "OSError: libcudart.so.13: cannot open shared object file, attempt 1"
    assert info["versions"]["torch"].endswith(f"; its import fails: {reason}")
    for section, name in (
        ("machine", "threads"),
        ("devices", "auto"),
        ("devices", "cuda"),
        ("places", "engines"),
    ):
        assert info[section][name] == f"unknown: {reason}"
    assert info["versions"]["adasise-bench"] == __version__
    assert info["versions"]["numpy"][0].isdigit()
    assert not any(value.startswith("unknown") for value in info["versions"].values())
    assert info["devices"]["cpu"] == info["machine"]["processor"]


def test_each_gpu_has_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = {0: 80 * 2**30, 1: 16 * 2**30}
    for name, found in {
        "is_available": lambda: True,
        "device_count": lambda: 2,
        "get_device_name": lambda number: ["NVIDIA H100", "Tesla T4"][number],
        "get_device_properties": lambda number: SimpleNamespace(total_memory=memory[number]),
        "get_device_capability": lambda number: [(9, 0), (7, 5)][number],
    }.items():
        monkeypatch.setattr(torch.cuda, name, found)
    devices = system_info()["devices"]
    assert devices["auto"] == "cuda:0"
    assert devices["cuda:0"] == "NVIDIA H100, 80.0 GiB, compute capability 9.0"
    assert devices["cuda:1"] == "Tesla T4, 16.0 GiB, compute capability 7.5"
    assert "cuda" not in devices

    del memory[1]
    devices = system_info()["devices"]
    assert devices["cuda:0"] == "NVIDIA H100, 80.0 GiB, compute capability 9.0"
    assert devices["cuda:1"] == "unknown: KeyError: 1"


def test_torchs_warning_says_why_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def warned() -> bool:
        warnings.warn("The NVIDIA driver on your system is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", warned)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        devices = system_info()["devices"]
    assert devices["cuda"] == "none: The NVIDIA driver on your system is too old"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert system_info()["devices"]["cuda"] == "none: torch finds no GPU"


def test_nobody_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Home in one place, caches in two others that bear the user's name, and an error that shows a path."""
    home = tmp_path / "jane.doe"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LOGNAME", "jane.doe")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("TORCH_HOME", "/scratch/jane.doe/torch")

    def refused() -> None:
        raise PermissionError(13, "Permission denied", "/tmp/torchinductor_jane.doe/x")

    monkeypatch.setattr(module, "tool_commit", refused)
    places = system_info()["places"]
    assert places["engines"] == "~/.cache/adasise-bench/engines.json (not there yet)"
    assert places["torch's downloads"] == "/scratch/USER/torch/hub (not there yet)"
    text = describe_system(system_info())
    assert "jane" not in text
    assert str(tmp_path) not in text
    assert "/tmp/torchinductor_USER/x" in text


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("/home/jane/.cache/x and /home/jane", "~/.cache/x and ~"),
        ("/home/janet/x", "/home/janet/x"),
        ("/mnt/home/jane/x", "/mnt/home/USER/x"),
        ("jane 1.0", "jane 1.0"),  # a package may have the name
    ],
)
def test_only_what_is_private_is_replaced(monkeypatch: pytest.MonkeyPatch, line: str, shown: str) -> None:
    monkeypatch.setenv("HOME", "/home/jane")
    monkeypatch.setattr(getpass, "getuser", lambda: "jane")
    monkeypatch.setattr(module, "tool_commit", lambda: line)
    assert system_info()["versions"]["commit"] == shown


def test_a_user_without_name_and_home_is_told_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr(getpass, "getuser", nobody)
    for name, path in (("expanduser", lambda text: text), ("realpath", lambda text: text)):
        monkeypatch.setattr(os.path, name, path)
    info = system_info()
    assert info["versions"]["torch"] == torch.__version__
    assert info["machine"]["threads"] == str(torch.get_num_threads())


def test_a_long_reason_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    long: Callable[[], str] = lambda: "x" * 10_000  # noqa: E731
    monkeypatch.setattr(module, "tool_commit", long)
    value = system_info()["versions"]["commit"]
    assert len(value) == 200
    assert value.endswith("x ...")
