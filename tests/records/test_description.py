"""What is read of a run folder's configuration and environment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adasise_bench.records.description import read_config, read_environment

READERS = [("config.yaml", read_config), ("environment.json", read_environment)]


@pytest.mark.parametrize(("name", "read"), READERS)
def test_plain_mappings_are_read(tmp_path: Path, name: str, read: Callable[[Path], Any]) -> None:
    (tmp_path / name).write_text('{"models": {"resnet50": {"maps": [1, 2]}}}')
    assert read(tmp_path) == {"models": {"resnet50": {"maps": [1, 2]}}}


@pytest.mark.parametrize(("name", "read"), READERS)
@pytest.mark.parametrize(
    ("text", "problem"),
    [("[]", "no mapping"), ("", "."), ("{", "."), ("[" * 60_000, "nested too deeply"), ("\xff", ".")],
)
def test_damage_is_told_in_one_line(
    tmp_path: Path, name: str, read: Callable[[Path], Any], text: str, problem: str
) -> None:
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=problem) as error:
        read(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("name", "read"), READERS)
def test_links_out_of_the_folder_and_missing_files_are_refused(
    tmp_path: Path, name: str, read: Callable[[Path], Any]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    with pytest.raises(FileNotFoundError):
        read(folder)
    (tmp_path / "other").write_text("{}")
    (folder / name).symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="leads out of the folder"):
        read(folder)
