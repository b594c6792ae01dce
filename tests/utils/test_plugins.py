"""What a definition says changes with every file that the named code is put together from."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from adasise_bench.methods.custom.custom import custom_definitions
from adasise_bench.methods.parsing import parse_method
from adasise_bench.utils import plugins

PARTS = """
def plain(model, image, target, weight=1.0, path=""):
    return image[0].abs().sum(0) * weight

class Maker:
    def method(self, model, image, target):
        return image[0, 0].abs()

    def __call__(self, model, image, target):
        return image[0, 1].abs()
"""
DECORATORS = """
import functools

def twice(function):
    @functools.wraps(function)
    def wrapper(*given, **options):
        return 2 * function(*given, **options)
    return wrapper
"""
NAMED = """
import functools
import parts_of_mine as parts
from decorators_of_mine import twice

bound = functools.partial(parts.plain, weight=3.0)
given = functools.partial(map, parts.plain)
wrapped = twice(parts.plain)
method = parts.Maker().method
called = parts.Maker()
cached = functools.cache(parts.plain)
plain = parts.plain

def own(model, image, target):
    return image[0].abs().sum(0)
"""
FILES = {"parts_of_mine": PARTS, "decorators_of_mine": DECORATORS, "named_of_mine": NAMED}


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    plugins.load.cache_clear()
    yield tmp_path
    plugins.load.cache_clear()
    for name in FILES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("own", {"named_of_mine"}),
        ("plain", {"parts_of_mine"}),
        ("bound", {"named_of_mine", "parts_of_mine"}),
        ("given", {"named_of_mine", "parts_of_mine"}),
        ("wrapped", {"named_of_mine", "parts_of_mine", "decorators_of_mine"}),
        ("method", {"named_of_mine", "parts_of_mine"}),
        ("called", {"named_of_mine", "parts_of_mine"}),
        ("cached", {"named_of_mine", "parts_of_mine"}),
    ],
)
def test_all_files_behind_a_name_are_hashed(modules: Path, name: str, files: set[str]) -> None:
    location = f"named_of_mine:{name}"
    assert {path.stem for path in plugins.source_files(location)} == files
    before = plugins.definition(location)
    for file in FILES:
        path = modules / f"{file}.py"
        text = path.read_text()
        path.write_text(text + "\n# changed\n")
        assert (plugins.definition(location) != before) == (file in files)
        path.write_text(text)


def test_one_file_is_said_as_ever(modules: Path) -> None:
    digest = hashlib.sha256((modules / "named_of_mine.py").read_bytes()).hexdigest()[:16]
    assert plugins.definition("named_of_mine:own") == (
        f"named_of_mine:own (SHA-256 of named_of_mine.py: {digest})"
    )


def test_code_without_a_source_file_is_said_to_have_none(modules: Path) -> None:
    assert plugins.definition("math:sqrt") == "math:sqrt (no source file)"


def test_files_that_options_name_are_part_of_a_method(modules: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(modules)
    entry = {"name": "named_of_mine:bound", "label": "mine", "options": {"path": "mask.npy"}}
    assert not any("mask" in value for value in custom_definitions([parse_method(entry)]).values())
    for content in (b"one", b"other"):
        (modules / "mask.npy").write_bytes(content)
        found = custom_definitions([parse_method(entry)])
        assert found["mine.options.path"] == hashlib.sha256(content).hexdigest()


def test_files_are_found_at_every_depth_and_nothing_else_is(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"a")
    name = str(tmp_path / "a")
    options = {"x": name, "y": {"z": [1, name]}, "n": 3, "t": "\0", "long": "x" * 5000, "dir": str(tmp_path)}
    digest = hashlib.sha256(b"a").hexdigest()
    assert plugins.named_files(options) == {"x": digest, "y.z.1": digest}
