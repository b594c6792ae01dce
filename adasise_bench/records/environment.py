"""What a run ran on: versions, device, weights and data, so that a number can be traced."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from adasise_bench import __version__
from adasise_bench.methods import METHODS
from adasise_bench.metrics.measured_metrics import METRICS
from adasise_bench.records import evidence
from adasise_bench.utils.errors import DeviceError


def pick_device(name: str) -> torch.device:
    """The device called ``auto``, ``cpu``, ``cuda`` or ``cuda:N``; a GPU always with its number.

    A plain ``cuda`` is the first GPU that this process sees. Without a number it would differ from the device
    of its own tensors, and ``torch.cuda.set_device`` would refuse it.

    Raises:
        DeviceError: no such CUDA device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device("cuda:0" if name == "cuda" else name)
    if device.type == "cuda" and device.index >= torch.cuda.device_count():
        raise DeviceError(f"--device {name}: torch {torch.__version__} sees no such GPU; use --device cpu")
    return device


def machine(device: torch.device) -> tuple[str, int, str]:
    """What the fastest way to run a network depends on: the device's name, CPU threads, torch's version."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _cpu_name()
    return name, torch.get_num_threads(), torch.__version__


def describe(device: torch.device, precision: str, own: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Versions and hardware, ready for JSON; ``own`` holds the definitions of what is the user's."""
    device_name, threads, torch_version = machine(device)
    return {
        "tool": {"version": __version__, "commit": _commit()},
        "python": platform.python_version(),
        "torch": torch_version,
        **{name: _version(name) for name in ("torchvision", "torchray", "numpy", "pillow")},
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "driver": _driver() if device.type == "cuda" else None,
        "device": device.type,
        "device_name": device_name,
        "threads": threads,
        "precision": precision,
        "definitions": {name: metric.definition for name, metric in METRICS.items()}
        | {name: method.definition for name, method in METHODS.items()}
        | dict(own or {}),
    }


DECISIVE = ("tool", "torch", "torchvision", "torchray", "device", "device_name", "precision", "definitions")
"""Entries that must be equal for two sessions to add to one run."""


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ, each as ``key: before -> now``.

    Of the evidence, what only one of them tells is no difference: earlier versions told less.
    """
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key), now.get(key)
        if key == evidence.NAME and not prefix:
            old, new = old or {}, new or {}
            common = old.keys() & new.keys()
            old, new = ({name: told[name] for name in common} for told in (old, new))
            found += differences(old, new)
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {_short(old)} -> {_short(new)}")
    return found


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of the checkout the tool runs from, with ``+`` and a hash of changed sources; else ``None``."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        commit = _git(root, "rev-parse", "--short=12", "HEAD")
        changed = _git(root, "status", "--porcelain", "--", "adasise_bench")
        return commit + (f"+{_sources_hash()}" if changed else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _sources_hash() -> str:
    package = Path(__file__).parents[1]
    total = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        total.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes())
    return total.hexdigest()[:8]


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()  # noqa: S603


def _driver() -> str | None:  # pragma: no cover - only called where there is a GPU
    try:
        return Path("/proc/driver/nvidia/version").read_text().splitlines()[0].split("  ")[1].strip()
    except (OSError, IndexError):
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
