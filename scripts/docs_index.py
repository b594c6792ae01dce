"""Reads the index of the documentation, docs/README.md: its sections and the pages that each lists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
INDEX = Path("docs/README.md")

_SECTION = re.compile(r"^## (.+)\n((?:(?!## ).*\n)*)", re.MULTILINE)
_ENTRY = re.compile(r"^\d+\. \[([^\]]+)\]\(([^)#]+)\)[:;,]? ?(.*)$", re.MULTILINE)


class Page(NamedTuple):
    """A page of the documentation: its path from the repository's root, its title, and what it is about."""

    path: str
    title: str
    about: str


def sections(text: str) -> dict[str, list[Page]]:
    """The pages by the section that lists them, in the order of the index.

    Args:
        text: the index.
    """
    return {
        title: [Page(str(INDEX.parent / path), name, about) for name, path, about in _ENTRY.findall(body)]
        for title, body in _SECTION.findall(text)
    }


def read_index(root: Path = ROOT) -> dict[str, list[Page]]:
    """The sections of the index of a checkout."""
    return sections((root / INDEX).read_text(encoding="utf-8"))
