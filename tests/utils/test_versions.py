"""The commit that results name, and versions of what is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from adasise_bench.utils import versions
from adasise_bench.utils.versions import package_version, tool_commit


def test_a_package_has_its_version_or_none() -> None:
    assert package_version("torch") == torch.__version__.partition("+")[0]
    assert package_version("no-such-package-anywhere") is None


def test_the_commit_says_whether_the_sources_are_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"rev-parse": "0123456789ab", "status": ""}
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(versions, "_git", lambda _root, verb, *_: answers[verb])
    assert tool_commit() == "0123456789ab"
    answers["status"] = " M adasise_bench/metrics/registry.py"
    changed = tool_commit()
    assert changed is not None
    assert changed[:13] == "0123456789ab+"
    assert int(changed[13:], 16) >= 0
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert tool_commit() is None


def test_the_commit_is_that_of_the_checkout_with_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(versions, "_git", lambda root, *_: asked.append(root) or "")
    tool_commit()
    assert set(asked) == {Path(__file__).resolve().parents[2]}


def test_no_git_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(*_: object) -> str:
        raise FileNotFoundError(2, "git")

    monkeypatch.setattr(Path, "exists", lambda _: True)
    monkeypatch.setattr(versions, "_git", absent)
    assert tool_commit() is None
