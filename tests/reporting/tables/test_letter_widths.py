"""The widths of texts are those that LaTeX gives them."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from latex_documents import compiled, needs_latex

from adasise_bench.reporting.tables.letter_widths import BOLD, SMALL, width, wrapped
from adasise_bench.utils.messages import latex

EVERY = "".join(letter for letter in string.printable if letter.isprintable() and letter != " ")
SIGNS = "↑↓°±\N{MINUS SIGN}"
NUMBERS = string.digits + "[],.+" + SIGNS[-2:]


@needs_latex
@pytest.mark.parametrize(
    ("command", "size", "letters"),
    [
        ("", 8.0, EVERY + SIGNS),
        (r"\fontsize{7}{8}\selectfont ", 7.0 * SMALL, NUMBERS + string.ascii_letters),
        (r"\bfseries ", 8.0 * BOLD, string.digits),
    ],
)
def test_no_letter_is_wider_than_said_nor_much_narrower(
    tmp_path: Path, command: str, size: float, letters: str
) -> None:
    boxes = "".join(rf"\sbox0{{{command}{latex(letter)}}}\typeout{{W \the\wd0}}" for letter in letters)
    log = compiled(tmp_path, rf"\fontsize{{8}}{{9}}\selectfont {boxes}")
    found = re.findall(r"^W ([\d.]+)pt", log, re.M)
    for letter, points in zip(letters, map(float, found), strict=True):
        assert 0.9 * width(letter, size) <= points <= 1.0001 * width(letter, size), letter


@pytest.mark.parametrize(
    ("text", "limit", "lines"),
    [
        ("Extremal Perturbation", 55, ["Extremal", "Perturbation"]),
        ("Extremal Perturbation", 200, ["Extremal Perturbation"]),
        ("ada_sise-otsu-raised", 50, ["ada_sise-", "otsu-raised"]),
        ("aaaaaaaaaa", 18, ["aaaa", "aaaa", "aa"]),
        ("[59.88, 62.50]", 200, ["[59.88, 62.50]"]),
        ("", 10, [""]),
        ("Run-time, s ↓", 50, ["Run-time,", "s ↓"]),
    ],
)
def test_lines_are_broken_at_spaces_then_at_signs_then_anywhere(
    text: str, limit: float, lines: list[str]
) -> None:
    assert wrapped(text, 8, limit) == lines
    assert all(width(line, 8) <= limit for line in lines)
