"""Text of unknown origin on a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with a space for everything that is not a letter on the line: breaks, control codes."""
    return "".join(letter if letter.isprintable() else " " for letter in text)
