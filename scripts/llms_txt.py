"""Writes llms.txt, the guide for tools that read documentation, from the README and the index of the pages.

The format is that of https://llmstxt.org: a title, a quoted summary, and sections of links with notes. Run it
after the README, the index or the headings of a page have changed::

    python scripts/llms_txt.py
"""

from __future__ import annotations

import re
from pathlib import Path

from docs_index import ROOT, Page, read_index

TARGET = Path("llms.txt")
OTHERS = {
    "CONTRIBUTING.md": "how to set up, test and propose a change",
    "CHANGELOG.md": "changes that can move a number",
    "results/README.md": "the results that are kept in the repository",
    "findings/README.md": "faults of other libraries that were found on the way",
}
"""Pages that the index does not number, which a tool with little room may leave out."""

_FENCES = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#{1,2}) +(.+?) *#*$", re.MULTILINE)
_MARKUP = re.compile(r"\[([^\]]*)\]\([^)]*\)|\*\*")


def guide(root: Path = ROOT) -> str:
    """The text of llms.txt for a checkout."""
    readme = (root / "README.md").read_text(encoding="utf-8")
    title, introduction = readme.split("\n\n")[:2]
    install = next(block for block in _FENCES.findall(readme) if "pip install" in block)
    parts = [
        title,
        f"> {_plain(introduction).removesuffix(':')}.",
        "This installs the tool and runs its main job in miniature, without a GPU:",
        install,
        "Every link below is relative to this file. The pages are Markdown.",
    ]
    for section, pages in read_index(root).items():
        parts += [f"## {section}", "\n".join(_entry(page, root) for page in pages)]
    others = [Page(path, _headings(root / path)[0], about) for path, about in OTHERS.items()]
    return "\n\n".join([*parts, "## Optional", "\n".join(_entry(page, root) for page in others)]) + "\n"


def _entry(page: Page, root: Path) -> str:
    _, *headings = _headings(root / page.path)
    about = _plain(page.about).removesuffix(".")
    listed = f"Sections: {'; '.join(headings)}" if headings else ""
    return f"- [{page.title}]({page.path}): {'. '.join(filter(None, [about, listed]))}."


def _headings(path: Path) -> list[str]:
    """The title of a page and those of its sections."""
    text = _FENCES.sub("", path.read_text(encoding="utf-8"))
    return [_plain(heading) for _, heading in _HEADING.findall(text)]


def _plain(text: str) -> str:
    """One line without links and bold type."""
    return " ".join(_MARKUP.sub(r"\1", text).split())


if __name__ == "__main__":
    (ROOT / TARGET).write_text(guide(), encoding="utf-8")
