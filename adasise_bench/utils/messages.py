"""Text of unknown origin, made safe for each format that it is written in.

Names, labels, classes and versions come from files that somebody else may have written. :func:`printable`
makes one line of any text. The other functions also remove what a format would read as a command.
"""

from __future__ import annotations

import json
import re
from typing import Any


def printable(text: str) -> str:
    """The text with a space for every line break and every other character that does not print.

    XML can hold the result.
    """
    return "".join(letter if letter.isprintable() else " " for letter in text)


_ORDER = re.compile(r"^(\s*):(?=:)|#(?=#(?:vso)?\[)")


def terminal(text: str) -> str:
    """Lines for a terminal, which may be that of a CI server.

    GitHub obeys lines that begin with ``::``. GitHub and Azure obey what follows ``##[`` or ``##vso[``. A
    space is put between the first two letters of each. See "Workflow commands for GitHub Actions" and
    "Logging commands" of Azure Pipelines.

    Args:
        text: any number of lines, whose line breaks come from this tool.
    """
    return "\n".join(_ORDER.sub(_parted, printable(line)) for line in text.split("\n"))


def _parted(order: re.Match[str]) -> str:
    return f"{order.group()} "


def markdown(text: str) -> str:
    """Text for a heading, a list's entry or a table's cell of GitHub's Markdown, also in a job's summary."""
    escaped = re.sub(r"([\\`*_<>|\[\]$&~])", r"\\\1", printable(text).strip())
    return re.sub(r"^(\d*)(?=(?<=\d)[.)]|(?<!\d)[#+=-])", r"\1\\", escaped)  # no heading, list or rule


_LATEX = {letter: "\\" + letter for letter in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "°": r"$^\circ$",
    "±": r"$\pm$",
    "\N{MINUS SIGN}": "$-$",
    # Behind a line's end, a bracket or a star would be read as an argument of it.
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
}


def latex(text: str) -> str:
    """Text for pdflatex; letters beyond ASCII become ``?``, since its fonts may lack them."""
    letters = terminal(printable(text))
    escaped = "".join(_LATEX.get(letter, letter if letter.isascii() else "?") for letter in letters)
    return re.sub("-(?=-)", "-{}", escaped)  # two together would be printed as one dash


_FORMULA = "=+-@＝＋－＠"  # noqa: RUF001 - spreadsheets read the wide letters as the others


def csv_cell(text: str) -> str:
    """Text for a cell of a CSV file, with an apostrophe where a spreadsheet would read a formula.

    See OWASP, "CSV Injection".
    """
    line = terminal(printable(text))
    return f"'{line}" if line.lstrip().startswith(tuple(_FORMULA)) else line


def json_text(tree: Any) -> str:
    """Indented JSON for a file or a terminal: what is not printable, or a command, is written as ``\\uXXXX``.

    Raises:
        ValueError: a number is not finite.
    """
    text = json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"#(?=#(?:vso)?\[)", r"\\u0023", text)
    return "".join(
        letter if letter.isprintable() or letter == "\n" else json.dumps(letter)[1:-1] for letter in text
    )
