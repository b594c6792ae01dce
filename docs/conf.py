"""Sphinx: the pages of this repository as a site, with the reference of the Python interface.

The command is ``sphinx-build -W --keep-going -c docs . _site``. The source folder is the repository itself,
so that every link between pages is the same on the site as where the repository is read.
"""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from docs_index import read_index  # noqa: E402
from sphinx.application import Sphinx  # noqa: E402

from adasise_bench import __version__  # noqa: E402

project = "adasise-bench"
author = "the adasise-bench developers"
copyright = "2026, the adasise-bench developers"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = [".venv", "_site", "build", "dist"]  # folders that are not even searched
include_patterns = [
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md",
    "docs/*.md", "findings/*.md", "results/*.md", "results/methods/*.md",
]  # fmt: skip
root_doc = "README"
myst_heading_anchors = 6  # named as the forges name them, so that links to a heading work on both
suppress_warnings = ["myst.header"]  # the tables in results/methods begin with a heading of the third level
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
python_maximum_signature_line_length = 80

html_theme = "furo"
html_title = f"adasise-bench {version}"
html_show_sourcelink = False
html_theme_options = {"top_of_page_buttons": []}
pygments_style, pygments_dark_style = "friendly", "github-dark"

OTHERS = ["docs/README", "CONTRIBUTING", "CHANGELOG", "results/README", "findings/README"]
"""Pages that the index does not number."""


def _contents(pages: Iterable[str], *options: str) -> str:
    """A table of contents that is not shown on its page, from which the theme makes its sidebar."""
    return "\n".join(["\n```{toctree}", ":hidden:", *options, "", *pages, "```\n"])


def _navigation() -> str:
    sections = {title: [page.path for page in pages] for title, pages in read_index(ROOT).items()}
    return "".join(
        _contents(pages, f":caption: {title}")
        for title, pages in (sections | {"About the tool": OTHERS}).items()
    )


_REFERENCE = """
## Reference

```{eval-rst}
.. automodule:: adasise_bench.api
   :members:
   :no-index:
```
"""


def _complete(_app: Sphinx, page: str, text: list[str]) -> None:
    """Add to a page what only the site has, so that the pages themselves stay plain Markdown."""
    if page == root_doc:
        text[0] += _navigation()
    elif page == "results/README":
        text[0] += _contents(["methods/*"], ":glob:")
    elif page == "docs/python":
        text[0] += _REFERENCE


def _finish(app: Sphinx, error: Exception | None) -> None:
    """Add a first page, the guide for tools, and the Markdown pages to which the guide links."""
    if error is None and app.builder.name == "html":
        Path(app.outdir, "index.html").write_text(
            f'<meta http-equiv="refresh" content="0; url={root_doc}.html">'
        )
        for page in ["llms.txt", *(f"{name}.md" for name in app.project.docnames)]:
            target = Path(app.outdir, page)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / page, target)


def setup(app: Sphinx) -> None:
    """Register what completes the pages and the site."""
    app.connect("source-read", _complete)
    app.connect("build-finished", _finish)
