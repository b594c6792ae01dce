"""Formats, equal bytes, SVG for HTML, and refusals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from defusedxml.ElementTree import fromstring
from figure_checks import texts
from matplotlib.figure import Figure
from PIL import Image

from adasise_bench.reporting.figures import save, to_svg
from adasise_bench.reporting.figures.style import blank, note, styled
from adasise_bench.utils.errors import ConfigError, OutputError


@styled
def bars(text: str = "") -> Figure:
    figure = blank(1.5)
    figure.add_subplot().bar([0, 1], [1, 2], hatch="//", label="some")
    figure.legend(loc="outside upper center")
    if text:
        note(figure, text)
    return figure


@pytest.mark.parametrize("footer", [True, False])
@pytest.mark.parametrize("suffix", ["png", "pdf", "svg"])
def test_the_note_goes_into_the_metadata(tmp_path: Path, suffix: str, footer: bool) -> None:
    text = "Some network, some pictures: a note that takes more than one line of the figure. (μ = 0)"
    path = tmp_path / f"a.{suffix}"
    figure = bars(text)
    save(figure, path, footer=footer)
    assert (text in texts(figure)) == footer
    assert figure.get_figheight() == pytest.approx(1.5) or footer
    if suffix == "png":
        with Image.open(path) as picture:
            assert picture.info["Description"] == text
    elif suffix == "svg":
        root = fromstring(path.read_text())
        found = root.find(".//{http://purl.org/dc/elements/1.1/}description")
        assert found is not None
        assert found.text == text
    else:
        assert b"/Subject" in path.read_bytes()
        assert text.encode("utf-16-be") in unescaped(path.read_bytes())


def test_words_with_hyphens_are_whole_in_the_metadata(tmp_path: Path) -> None:
    text = " ".join(["run-time"] * 40)
    save(bars(text), tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["Description"] == text


def unescaped(pdf: bytes) -> bytes:
    """The file with the escapes of its strings resolved (ISO 32000, 7.3.4.2)."""
    return re.sub(rb"\\([()\\])", rb"\1", pdf)


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
