"""The faces of rooms: what a folder's ``__init__`` says and offers."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "adasise_bench"
FOLDERS = sorted(path.parent for path in PACKAGE.rglob("__init__.py"))
ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))
LAZY = ["data", "methods", "models", "records"]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_first_line_of_a_folder_is_one_plain_sentence(folder: Path) -> None:
    first = (folder / "__init__.py").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith('"""')
    assert first.removesuffix('"""').endswith(".")


@pytest.mark.parametrize("room", LAZY)
def test_every_name_that_a_face_offers_is_there(room: str) -> None:
    face = import_module(f"adasise_bench.{room}")
    for name in face.__all__:
        assert getattr(face, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = face.nothing


def test_a_face_gives_what_the_module_has_at_the_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    import adasise_bench.records
    from adasise_bench.records import run

    assert adasise_bench.records.load_run is run.load_run
    monkeypatch.setattr(run, "load_run", len)
    assert adasise_bench.records.load_run is len


def test_faces_and_the_registry_of_methods_import_nothing_heavy() -> None:
    code = (
        f"import sys; [__import__('adasise_bench.' + room) for room in {ROOMS}]\n"
        "from adasise_bench.methods import METHODS; assert 'sise' in METHODS\n"
        "print([m for m in ('torch', 'pandas', 'pyarrow', 'pydantic', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
