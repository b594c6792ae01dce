"""What all figures share, and that the check on their text can fail."""

from __future__ import annotations

import matplotlib as mpl
import pytest
from figure_checks import assert_legible, drawn_texts
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from adasise_bench.reporting.figures.style import (
    COLUMN,
    LOOKS,
    TWO_COLUMNS,
    blank,
    in_lines,
    legend_above,
    look,
    note,
    styled,
)


@styled
def one_text(x: float = 0.5, size: float = 7.0) -> Figure:
    figure = blank(1.0)
    figure.text(x, 0.5, "some words", fontsize=size, ha="center")
    return figure


def test_the_check_of_texts_finds_clipped_small_and_covered_ones() -> None:
    assert_legible(one_text())
    with pytest.raises(AssertionError, match="clipped"):
        assert_legible(one_text(x=0.97))
    with pytest.raises(AssertionError, match="small"):
        assert_legible(one_text(size=6))
    covered = one_text()
    covered.text(0.45, 0.5, "others")
    with pytest.raises(AssertionError, match="lies over"):
        assert_legible(covered)


def test_looks_differ_in_everything() -> None:
    for values in zip(*LOOKS, strict=True):
        assert len(set(values)) == len(LOOKS)
    assert all(to_rgb(one.color) != (0, 0, 0) for one in LOOKS)  # hatches are black
    many = [look(position) for position in range(5 * len(LOOKS))]
    assert many[: len(LOOKS)] == list(LOOKS)
    for sign in ("hatch", "marker", "dashes"):
        assert len({(one.color, getattr(one, sign)) for one in many}) == len(many)


def test_legends_read_line_by_line() -> None:
    @styled
    def drawn() -> Figure:
        figure = blank(2.0, TWO_COLUMNS)
        axes = figure.add_subplot()
        for name in "abcd":
            axes.plot([0, 1], [0, 1], label=name)
        legend_above(figure)
        return figure

    places = {
        text: (-round(extent.y0), extent.x0) for text, _, extent in drawn_texts(drawn()) if text in "abcd"
    }
    assert sorted(places, key=places.__getitem__) == list("abcd")
    assert len({row for row, _ in places.values()}) == 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("Extremal Perturbation", ["Extremal", "Perturbation"]),
        ("sise_with_long_label", ["sise_with_", "long_label"]),
        ("Grad-CAM++ of/some-layer", ["Grad-CAM++", "of/some-", "layer"]),
        ("nosignsanywhere", ["nosignsanywh", "ere"]),
        ("own\nlines", ["own", "lines"]),
    ],
)
def test_lines_end_where_words_do(text: str, lines: list[str]) -> None:
    assert in_lines(text, 12).splitlines() == lines


def test_settings_are_ours_inside_and_the_users_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(mpl.rcParams, "font.size", 23.0)
    monkeypatch.setitem(mpl.rcParams, "axes.facecolor", "red")

    @styled
    def inside() -> tuple[float, str]:
        return mpl.rcParams["font.size"], mpl.rcParams["axes.facecolor"]

    assert inside() == inside() == (7.0, "white")
    assert (mpl.rcParams["font.size"], mpl.rcParams["axes.facecolor"]) == (23.0, "red")


@pytest.mark.parametrize("width", [COLUMN, TWO_COLUMNS])
def test_long_notes_are_broken_and_taken_literally(width: float) -> None:
    @styled
    def noted() -> Figure:
        figure = blank(2.0, width)
        figure.add_subplot()
        note(figure, "WIDE WORDS IN CAPITALS, $x^2$ AND MORE. " * 6)
        return figure

    figure = noted()
    assert_legible(figure)
    assert any("$x^2$" in text.text for text in drawn_texts(figure))
