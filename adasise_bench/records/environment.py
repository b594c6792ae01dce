"""What a run ran on: versions, device, weights and data, so that a number can be traced."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from adasise_bench import __version__
from adasise_bench.data.rules import SETS
from adasise_bench.records import evidence
from adasise_bench.utils.hardware import nvidia_driver
from adasise_bench.utils.versions import package_version, tool_commit

if TYPE_CHECKING:
    import torch


def describe(device: torch.device, precision: str, definitions: Mapping[str, str]) -> dict[str, Any]:
    """Versions and hardware, ready for JSON.

    Args:
        device: what the networks run on.
        precision: arithmetic of the scoring passes.
        definitions: names of what metrics and methods compute, by their own names.
    """
    import torch  # here, because who only reads runs has no need of half a gigabyte

    from adasise_bench.utils.devices import machine

    device_name, threads, torch_version = machine(device)
    return {
        "tool": {"version": __version__, "commit": tool_commit()},
        "python": platform.python_version(),
        "torch": torch_version,
        **{name: package_version(name) for name in ("torchvision", "torchray", "numpy", "pillow")},
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "driver": nvidia_driver() if device.type == "cuda" else None,
        "device": device.type,
        "device_name": device_name,
        "threads": threads,
        "precision": precision,
        "definitions": dict(definitions),
    }


DECISIVE = ("tool", "torch", "torchvision", "torchray", "device", "device_name", "precision", "definitions")
"""Entries that must be equal for two sessions to add to one run."""


BACKENDS = "backends"
"""Where the versions of the backends stand in what two sessions are compared by."""

_PARTLY = (evidence.NAME, BACKENDS)

_UNSAID = {"rules": SETS["protocol"]}
"""Settings that are left out of an identity where they have this value."""


def backend_versions(facts: Mapping[str, Any]) -> dict[str, str]:
    """The versions of what passed a run's batches, by name; torch's own stands for itself.

    Args:
        facts: a run's environment. Those of earlier versions name no backend: it was torch.
    """
    models = facts["models"].values()
    known = {
        str(model.get("engine", {}).get("backend", "torch")): str(model.get("backend_version"))
        for model in models
    }
    return {name: version for name, version in known.items() if not name.startswith("torch")}


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Dotted keys whose values differ, each as ``key: before -> now``.

    Of the evidence and the backends, what only one of them tells is no difference: earlier versions told
    less, and another backend is another engine. The settings come first and definitions last, for the former
    are often the reason of all others.
    """
    found = []
    for key in sorted(before.keys() | now.keys(), key=_place):
        old, new = (side.get(key, _UNSAID.get(key)) for side in (before, now))
        if key in _PARTLY and not prefix:
            old, new = old or {}, new or {}
            common = old.keys() & new.keys()
            old, new = ({name: told[name] for name in common} for told in (old, new))
            found += differences(old, new)
        elif isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append(f"{prefix}{key}: {_short(old)} -> {_short(new)}")
    return found


def _place(name: str) -> tuple[int, str]:
    order = {"identity": 0, "rules": 0, "definitions": 2}
    return order.get(name, 1), name


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
