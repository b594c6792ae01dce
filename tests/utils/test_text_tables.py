"""Tables of plain letters: aligned by what a terminal shows, whole at any width, the same everywhere."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.utils.text_tables import paragraph, text_table

names = st.text("abcdefgh123é猫の絵ｗ", min_size=1, max_size=30)  # noqa: RUF001 - a wide letter


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes, from Unicode's own tables."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def test_a_table_is_aligned_and_ruled() -> None:
    text = text_table("lrl", [("a", 1, "x"), ("bcd", 100, "y z")], ("name", "n", "what"))
    assert text.splitlines() == [
        "name    n  what",
        "----- ---- ----",
        "a       1  x",
        "bcd   100  y z",
    ]
    assert text_table("ll", [("a", "x"), ("bcd", "y")]) == "a    x\nbcd  y"


def test_wide_and_combined_letters_take_the_columns_that_a_terminal_shows() -> None:
    rows = [("猫の絵", "end"), ("e\N{COMBINING ACUTE ACCENT}", "end"), ("plain", "end")]
    lines = text_table("ll", rows).splitlines()
    assert {columns_of(line) for line in lines} == {len("猫の絵") * 2 + 2 + len("end")}


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(names, names), min_size=1, max_size=5), st.integers(20, 60))
def test_what_does_not_fit_goes_on_in_the_next_line(rows: list[tuple[str, str]], width: int) -> None:
    text = text_table("lr", rows, ("first", "second"), width=width)
    assert max(map(columns_of, text.splitlines())) <= width
    given_letters = "firstsecond" + "".join(map("".join, rows))
    assert sorted(text.translate({ord(letter): None for letter in "- \n"})) == sorted(given_letters)


def test_a_paragraph_is_indented_from_its_second_line() -> None:
    assert paragraph("one two three four", 10) == "one two\n  three\n  four"
    assert paragraph("猫の絵" * 3, 10).splitlines() == ["猫の絵猫", "  の絵猫の", "  絵"]


def test_what_rich_would_take_for_markup_stays() -> None:
    text = "[red]x[/red] :smile: [/] [link=http://a]b 3.5 None"
    assert text_table("l", [(text,)]) == text
    assert paragraph(text, 100) == text


def test_no_control_code_gets_through() -> None:
    assert (
        text_table("ll", [("a\x1b[31m\nb", "c\tå\u2028")], ("x\x07", "y")).splitlines()[2] == "a [31m b  c å"
    )


@pytest.mark.parametrize("name", ["FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "JUPYTER_COLUMNS"])
def test_the_environment_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [("a" * 50, "b" * 50)]
    before = text_table("ll", rows, ("x", "y"))
    monkeypatch.setenv(name, "30")
    monkeypatch.setenv("TERM", "dumb")
    assert text_table("ll", rows, ("x", "y")) == before
    assert "\x1b" not in before
