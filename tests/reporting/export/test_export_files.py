"""Exported files are written all or none, and what somebody changed in them is not lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from adasise_bench.reporting.export.files import TextFile, json_without, write_files
from adasise_bench.utils.errors import OutputError


def test_of_several_files_none_is_written_if_one_is_refused(tmp_path: Path) -> None:
    changed, special = tmp_path / "b", tmp_path / "c"
    changed.write_text("mine")
    special.mkdir()
    for refused in (changed, special):
        files = [TextFile(tmp_path / "a", "1"), TextFile(refused, "2")]
        with pytest.raises(OutputError, match=f"^{refused}: "):
            list(write_files(files, update=False))
        assert not (tmp_path / "a").exists()
    assert changed.read_text() == "mine"
    files = [TextFile(tmp_path / "a", "1"), TextFile(changed, "2")]
    assert list(write_files(files, update=True)) == [tmp_path / "a", changed]
    assert changed.read_text() == "2"


@pytest.mark.parametrize("there", ["", "[]", "{", "[" * 100_000, '{"a": 2, "at": 1}', "\udc80"])
def test_what_is_no_such_json_is_something_else(tmp_path: Path, there: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(there, errors="surrogateescape")
    file = TextFile(path, '{"at": 2, "a": 1}', json_without("at"))
    with pytest.raises(OutputError, match="says something else"):
        list(write_files([file], update=False))
    path.write_text('{"a": 1, "at": 1}')
    assert list(write_files([file], update=False)) == [path]
    assert path.read_text() == '{"a": 1, "at": 1}'
