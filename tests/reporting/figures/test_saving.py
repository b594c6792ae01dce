"""Formats, equal bytes, SVG for HTML, and refusals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring
from matplotlib.figure import Figure
from PIL import Image

from adasise_bench.reporting.figures import save, to_svg
from adasise_bench.reporting.figures.style import blank, styled
from adasise_bench.utils.errors import ConfigError, OutputError


@styled
def bars() -> Figure:
    figure = blank(1.5)
    figure.add_subplot().bar([0, 1], [1, 2], hatch="//", label="some")
    figure.legend(loc="outside upper center")
    return figure


@pytest.mark.parametrize(
    ("suffix", "start"), [(".png", b"\x89PNG"), (".pdf", b"%PDF"), (".svg", b"<?xml"), (".PDF", b"%PDF")]
)
def test_each_format_has_equal_bytes_each_time(tmp_path: Path, suffix: str, start: bytes) -> None:
    first, second = tmp_path / f"a{suffix}", tmp_path / "deep" / f"b{suffix}"
    save(bars(), first)
    save(bars(), second)
    assert first.read_bytes().startswith(start)
    assert first.read_bytes() == second.read_bytes()
    assert b"Date" not in first.read_bytes()
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [first.name]


def test_png_has_300_dots_per_inch(tmp_path: Path) -> None:
    save(bars(), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (990, 450)
        assert picture.info["dpi"] == pytest.approx((300, 300), abs=0.1)


def test_svg_text_is_one_element_that_needs_nothing_else() -> None:
    text = to_svg(bars())
    assert text == to_svg(bars())
    assert text.startswith("<svg")
    root = fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    assert root.attrib["viewBox"].split()[2:] == ["237.6", "108"]
    references = [value for part in root.iter() for name, value in part.attrib.items() if "href" in name]
    assert references
    assert all(value.startswith("#") for value in references)
    assert not list(root.iter("{http://www.w3.org/2000/svg}text"))


@pytest.mark.parametrize("name", ["figure.gif", "figure", "figure.jpg"])
def test_other_suffixes_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=rf"{name}: no figure format '.*'; valid: \.png, \.pdf, \.svg$"):
        save(bars(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def full(*_arguments: object) -> Iterator[None]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match=r"a\.png: cannot write: No space left"):
        save(bars(), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
