"""Versions of the tool and of the packages that it uses. Nothing here imports torch, which may be broken."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def package_version(package: str) -> str | None:
    """The version of an installed package, by its name in the package registry; ``None`` if it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def tool_commit() -> str | None:
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
