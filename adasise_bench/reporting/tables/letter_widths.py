"""How wide a text is in print: in Computer Modern, LaTeX's own letters, which are wider than most others."""

from __future__ import annotations

from itertools import pairwise

_EM = {
    "!',.:;[]`il|": 0.296, "fj": 0.325, "- ": 0.355, "I_": 0.384, "()t": 0.414, "r": 0.415, "s": 0.420,
    "cez": 0.473, "?": 0.502, "\"$*/0123456789\\^ago{}~↑↓°": 0.543, "J": 0.546, "kqvxy": 0.562,
    "Sbdhnpu": 0.591, "Z": 0.650, "L": 0.664, "F": 0.694, "EP": 0.723, "B": 0.753, "CTw": 0.768, "R": 0.782,
    "AHNUVXY": 0.796, "D": 0.812, "&+<=>@KOQ±\N{MINUS SIGN}": 0.827, "G": 0.834, "#%m": 0.886, "M": 0.973,
    "W": 1.091,
}  # fmt: skip
_WIDTHS = {letter: width for letters, width in _EM.items() for letter in letters}

_ARROWS = ("↑", "↓")

_UNKNOWN = "?"
"""What :func:`~adasise_bench.utils.messages.latex` writes for a letter that pdflatex does not know."""

BOLD = 1.16
"""How much wider bold digits are."""

SMALL = 1.1
"""How much wider letters of 7 points are for their size than those of 8 points."""


def width(text: str, size: float) -> float:
    """The width of a text in points, rounded up: the letters of cmr8, without kerning.

    Args:
        text: one line.
        size: of the letters, in points.
    """
    return size * sum(_WIDTHS.get(letter, _WIDTHS[_UNKNOWN]) for letter in text)


def wrapped(text: str, size: float, limit: float) -> list[str]:
    """The text in lines of at most this width.

    Lines end at spaces, or else behind a sign such as ``_`` or ``/``. A longer piece is broken anywhere.

    Args:
        text: one line.
        size: of the letters, in points.
        limit: points.
    """
    lines = [""]
    for piece in _pieces(text):
        if width((lines[-1] + piece).rstrip(), size) <= limit:
            lines[-1] += piece
            continue
        lines += [""] if lines[-1] else []
        for letter in piece:
            if lines[-1] and width((lines[-1] + letter).rstrip(), size) > limit:
                lines.append("")
            lines[-1] += letter
    return [line.rstrip() for line in lines]


def _pieces(text: str) -> list[str]:
    """Words, each with the space behind it, cut behind every sign that may end a line.

    No line begins with an arrow, which belongs to the word before it.
    """
    pieces = [""]
    for letter, following in pairwise([*text, ""]):
        pieces[-1] += letter
        if not (letter.isalnum() or letter in ".,%'()[]+±\N{MINUS SIGN}" or following in _ARROWS):
            pieces.append("")
    return [piece for piece in pieces if piece]
