"""The pages as a site: it builds without a warning, and llms.txt is what the pages say today."""

from __future__ import annotations

import importlib.util
import re
import runpy
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "llms.txt"]
FOLDERS = ["docs", "findings", "results/methods"]

needs_sphinx = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("sphinx", "myst_parser", "furo")),
    reason="needs Sphinx: pip install 'adasise-bench[docs]'",
)


def build(source: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build strictly: a warning, such as of a link that leads nowhere, fails."""
    strict = ["-q", "-W", "--keep-going"]
    command = [sys.executable, "-m", "sphinx", *strict, "-c", str(source / "docs"), str(source), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def copied(folder: Path) -> Path:
    """The pages and what builds them, to plant faults in."""
    for name in FOLDERS:
        shutil.copytree(ROOT / name, folder / name)
    (folder / "scripts").mkdir()
    for name in [*PAGES, "results/README.md", "scripts/docs_index.py", "scripts/llms_txt.py"]:
        shutil.copy(ROOT / name, folder / name)
    (folder / "adasise_bench").symlink_to(ROOT / "adasise_bench")
    return folder


class Links(HTMLParser):
    """The targets of a page's links, and the names that links can lead to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.names: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        found = dict(attributes)
        if tag == "a" and found.get("href"):
            self.targets.append(str(found["href"]))
        self.names |= {str(found[key]) for key in ("id", "name") if key in found}


@needs_sphinx
def test_the_site_builds_strictly_and_all_its_links_lead_somewhere(tmp_path: Path) -> None:
    done = build(ROOT, tmp_path)
    assert done.returncode == 0, done.stderr
    pages = {page: Links(page) for page in tmp_path.rglob("*.html")}
    followed = 0
    for page, links in pages.items():
        for target in links.targets:
            if re.match(r"[a-z]+:", target) or target == "#":
                continue
            place, _, name = target.partition("#")
            leads = (page.parent / place).resolve() if place else page
            assert leads.exists(), (page, target)
            if name and leads in pages:
                assert name in pages[leads].names, (page, target)
            followed += 1
    assert followed > 500
    reference = (tmp_path / "docs/python.html").read_text(encoding="utf-8")
    for name in ("explain", "evaluate", "load_model", "load_run", "SaliencyMap"):
        assert f'<span class="pre">{name}</span>' in reference
    for link in re.findall(r"\]\((\S+)\)", (tmp_path / "llms.txt").read_text(encoding="utf-8")):
        assert (tmp_path / link).exists(), link


@needs_sphinx
def test_a_link_that_leads_nowhere_fails_the_build(tmp_path: Path) -> None:
    source = copied(tmp_path / "checkout")
    with (source / "docs/tables.md").open("a", encoding="utf-8") as page:
        page.write("\n[gone](gone.md#there)\n")
    done = build(source, tmp_path / "site")
    assert done.returncode != 0
    assert "gone.md" in done.stderr


def guide_of(source: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.syspath_prepend(source / "scripts")
    monkeypatch.delitem(sys.modules, "docs_index", raising=False)
    names: dict[str, Any] = runpy.run_path(str(source / "scripts/llms_txt.py"))
    text: str = names["guide"](source)
    return text


def test_the_guide_for_tools_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    written = (ROOT / "llms.txt").read_text(encoding="utf-8")
    assert written == guide_of(ROOT, monkeypatch), "run: python scripts/llms_txt.py"


def test_the_guide_for_tools_names_every_page_and_nothing_that_is_not_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    guide = guide_of(ROOT, monkeypatch)
    linked = re.findall(r"^- \[[^\]]+\]\((\S+)\): .+\.$", guide, re.MULTILINE)
    assert len(linked) == guide.count("\n- ")
    assert all((ROOT / path).exists() for path in linked)
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} - {"docs/README.md"} <= set(linked)
    title, summary = guide.split("\n\n")[:2]
    assert title == "# adasise-bench"
    assert summary.startswith("> ")
    assert "](http" not in guide


def test_the_guide_for_tools_follows_the_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = copied(tmp_path / "checkout")
    with (source / "docs/tables.md").open("a", encoding="utf-8") as page:
        page.write("\n## A planted section\n")
    assert "; A planted section." in guide_of(source, monkeypatch)
