"""Engines are remembered per machine, and the memory may be missing or damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from adasise_bench.models.engine import Engine
from adasise_bench.models.engine_cache import cache_file, recall, remember


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_recalls_what_was_remembered_by_key() -> None:
    assert recall(["resnet50", "cpu", 2]) is None
    remember(["resnet50", "cpu", 2], Engine("channels_last", 16))
    remember(["resnet50", "cpu", 4], Engine("contiguous", 32))
    assert recall(["resnet50", "cpu", 2]) == Engine("channels_last", 16)
    assert recall(["resnet50", "cpu", 4]) == Engine("contiguous", 32)


@pytest.mark.parametrize("text", ["", "[]", "[1]", '{"a": 1}', '{"a": {"layout": "contiguous"}}', "\x00"])
def test_a_damaged_memory_is_no_memory(text: str) -> None:
    cache_file().parent.mkdir(parents=True)
    cache_file().write_text(text)
    assert recall(["a"]) is None
    remember(["a"], Engine("contiguous", 8))
    assert recall(["a"]) == Engine("contiguous", 8)


def test_a_folder_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the place of the folder")
    remember(["a"], Engine("contiguous", 8))
    assert recall(["a"]) is None


def test_without_a_home_folder_nothing_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError("uid not found")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    remember(("a",), Engine("contiguous", 8))
    assert recall(("a",)) is None
