"""The pages of the documentation: every link between them leads somewhere, and each can be found."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".", ".github", "docs", "results", "results/methods", "findings")
PAGES = sorted(page for folder in FOLDERS for page in (ROOT / folder).glob("*.md"))
LONGEST_README = 150

_FENCES = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`[^`\n]*`")
_FILE = re.compile(r"`((?:adasise_bench|configs|docs|scripts|tests|\.ci|\.github)/[\w./-]+)`")
_LINK = re.compile(r"!?\[[^\]]*\]\(<?([^)\s>]+)>?\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)


def links(text: str) -> list[str]:
    """The targets of a page's links, those in code aside."""
    return _LINK.findall(_INLINE.sub("", _FENCES.sub("", text)))


def anchors(text: str) -> Iterator[str]:
    """The anchors that GitHub gives a page's headings; equal ones get a number."""
    seen: dict[str, int] = {}
    for heading in _HEADING.findall(_FENCES.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        anchor = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        count = seen.get(anchor, 0)
        seen[anchor] = count + 1
        yield f"{anchor}-{count}" if count else anchor


def files(text: str) -> list[str]:
    """The files and folders of the repository that a page names outside of blocks of code."""
    return _FILE.findall(_FENCES.sub("", text))


def problems(page: Path) -> Iterator[str]:
    """The page's relative links that lead nowhere."""
    for link in links(page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = page.parent / place if place else page
        if not target.exists():
            yield f"{link}: no such file"
        elif anchor and anchor not in anchors(target.read_text(encoding="utf-8")):
            yield f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    assert not list(problems(page))


def test_a_link_that_leads_nowhere_is_found(tmp_path: Path) -> None:
    page, other = tmp_path / "page.md", tmp_path / "other.md"
    other.write_text("# Two words, `code`\n## Again\n## Again\n```sh\n# no heading\n```\n")
    page.write_text(
        "[a](other.md#two-words-code) [b](other.md#again-1) [c](gone.md) [d](#here)\n"
        "[e](other.md#no-heading) `[f](gone.md)` [g](https://example.org/#x)\n# Here\n"
    )
    assert list(problems(page)) == ["gone.md: no such file", "other.md#no-heading: no such heading"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    assert not [name for name in files(page.read_text(encoding="utf-8")) if not (ROOT / name).exists()]


def test_files_are_found_in_text_and_not_in_blocks_of_code() -> None:
    assert files("`docs/a.md`, `b.md`\n```sh\n`docs/c.md`\n```\n`scripts/d`") == ["docs/a.md", "scripts/d"]


def test_the_index_names_every_page() -> None:
    index = ROOT / "docs/README.md"
    named = set(links(index.read_text(encoding="utf-8")))
    assert {page.name for page in (ROOT / "docs").glob("*.md")} - {index.name} <= named


def test_the_readme_is_short() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= LONGEST_README
