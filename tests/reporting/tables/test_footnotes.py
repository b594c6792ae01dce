"""How many footnotes there are, and which."""

from __future__ import annotations

import pytest
from table_samples import TABLES

from adasise_bench.reporting.tables import Tables
from adasise_bench.reporting.tables.footnotes import MOST_LINES, all_footnotes, divided
from adasise_bench.reporting.tables.formats import render
from adasise_bench.reporting.tables.look import Look

MANY = Tables(TABLES.tables, tuple(f"Note {k}. {'word ' * 25 * (k % 3)}".strip() for k in range(12)))


def lines_below(text: str) -> list[str]:
    return text.rstrip("\n").split("\n\n")[-1].splitlines()


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_terminal_has_six_lines_of_notes_at_most(width: int) -> None:
    lines = lines_below(render(MANY, "terminal", width))
    assert len(lines) <= MOST_LINES
    shown = sum(line.startswith("Note") for line in lines) - any(line.endswith(" ...") for line in lines)
    assert (
        lines[-1]
        == f"{12 - shown + (not any('best measured' in one for one in lines))} more notes: table --notes all"
    )


def test_all_notes_are_shown_on_demand_and_none_without() -> None:
    every = render(MANY, "md", look=Look(notes="all"))
    assert all(f"- Note {k}." in every for k in range(12))
    assert "more note" not in every
    none = render(MANY, "md", look=Look(notes="none"))
    assert "Note" not in none
    assert "best measured" not in none
    assert none.endswith("|\n")


def test_the_line_for_more_names_the_command_and_is_a_comment_in_latex() -> None:
    text = render(MANY, "latex", look=Look(command="chance"))
    assert text.splitlines()[-1].startswith("% ")
    assert text.splitlines()[-1].endswith("more notes: chance --notes all")
    assert render(MANY, "md", look=Look(command="chance")).rstrip().endswith("more notes: chance --notes all")


def test_notes_that_fit_are_all_there() -> None:
    few = [f"Note {k}." for k in range(MOST_LINES)]
    assert divided(few) == (few, [])
    assert divided([*few, "One more."]) == (few[:-1], [few[-1], "One more."])


def test_a_long_note_is_shown_with_its_beginning_and_makes_room_for_short_ones_behind_it() -> None:
    long = " ".join(f"word{k}" for k in range(150))
    (first, beginning, last), hidden = divided(["First.", long, "Last.", long + " again"])
    assert (first, last, hidden) == ("First.", "Last.", [long, long + " again"])
    assert beginning.endswith(" ...")
    assert long.startswith(beginning.removesuffix(" ..."))
    assert 180 < len(beginning) <= 2 * 100


def test_of_a_note_that_is_one_word_nothing_is_shown() -> None:
    long = "w" * 700
    assert divided([long, "Last."]) == (["Last."], [long])


@pytest.mark.parametrize(
    ("intervals", "legend"),
    [
        ("brackets", "[low, high]: 95 % interval"),
        ("pm", "±: half the width of the 95 % interval"),
        ("none", ""),
    ],
)
def test_the_legend_tells_how_intervals_are_written(intervals: str, legend: str) -> None:
    (first, *_) = all_footnotes(TABLES, "*", intervals)  # type: ignore[arg-type]
    assert legend in first
    assert ("95 %" in first) == bool(legend)
