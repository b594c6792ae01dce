"""Documents that pdflatex makes of tables, for tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None,
    reason="pdflatex is not installed; apt-get install texlive-latex-recommended",
)


def compiled(folder: Path, body: str, options: str = "") -> str:
    """The log of an ``article`` with this body; the text before it is longer than a column.

    Raises:
        CalledProcessError: it does not compile.
    """
    text = "Saliency maps show where a network looks. " * 40
    preamble = rf"\documentclass[{options}]{{article}}" "\n\\usepackage{booktabs}\n\\begin{document}\n"
    (folder / "page.tex").write_text(f"{preamble}{text}\n\n{body}\n\n{text}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "page.tex"]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "max_print_line": "1000", "HOME": str(folder)}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=environment, timeout=120)
    return (folder / "page.log").read_text(encoding="latin-1")
