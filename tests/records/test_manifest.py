"""A finished folder is held against its manifest; older ones and those being written are not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from adasise_bench.records import manifest
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT, MANIFEST
from adasise_bench.utils.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in (*manifest.SEALED, IN_FLIGHT):
        (tmp_path / name).write_bytes(name.encode() * 3)
    manifest.seal(tmp_path)
    return tmp_path


def test_it_holds_names_sizes_and_hashes(folder: Path) -> None:
    files = json.loads((folder / MANIFEST).read_text())["files"]
    assert sorted(files) == ["config.yaml", "environment.json", "pictures.sha256", "records.parquet"]
    for name, entry in files.items():
        content = (folder / name).read_bytes()
        assert entry == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    manifest.verify(folder)


@pytest.mark.parametrize("name", manifest.SEALED)
def test_an_edit_of_one_letter_is_named_with_its_cure(folder: Path, name: str) -> None:
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[:-1] + b"x")
    with pytest.raises(DataError) as caught:
        manifest.verify(folder)
    assert str(caught.value).startswith(f"{folder / name}: was changed")
    cure = "delete it and resume" if name == FINISHED else f"delete {MANIFEST}"
    assert cure in str(caught.value)


def test_records_without_their_lines_cannot_be_resumed_from_them(folder: Path) -> None:
    (folder / IN_FLIGHT).unlink()
    (folder / FINISHED).write_bytes(b"other")
    with pytest.raises(DataError, match="put the original back"):
        manifest.verify(folder)


def test_a_missing_file_is_named_but_deleted_records_are_to_be_made_again(folder: Path) -> None:
    (folder / FINISHED).unlink()
    (folder / "config.yaml").write_bytes(b"other")
    manifest.verify(folder)
    (folder / FINISHED).write_bytes(FINISHED.encode() * 3)
    (folder / "config.yaml").unlink()
    with pytest.raises(DataError, match=r"config\.yaml: cannot read it"):
        manifest.verify(folder)


def test_folders_without_a_manifest_pass(folder: Path) -> None:
    (folder / "config.yaml").write_bytes(b"other")
    manifest.unseal(folder)
    manifest.verify(folder)
    manifest.unseal(folder)


def test_a_run_that_begins_to_write_meanwhile_is_no_edit(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured = manifest._measured

    def begun(path: Path) -> object:
        (folder / "config.yaml").write_bytes(b"other")
        manifest.unseal(folder)
        return measured(path)

    monkeypatch.setattr(manifest, "_measured", begun)
    manifest.verify(folder)


@pytest.mark.parametrize("text", ["", "[]", '{"files": [1]}', '{"files": {"config.yaml": 1}}', "[" * 99_999])
def test_a_damaged_manifest_is_one_line(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(DataError, match=r"manifest\.json: damaged; delete it"):
        manifest.verify(folder)


def test_a_folder_in_its_place_is_one_line(folder: Path) -> None:
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).mkdir()
    with pytest.raises(DataError, match="no plain file"):
        manifest.verify(folder)
