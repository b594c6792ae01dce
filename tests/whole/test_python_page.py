"""docs/python.md, run as written: as a script from its first block to the last one, and as a notebook."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from adasise_bench import api

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs/python.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of its own, in which the page's run folder is made."""
    monkeypatch.chdir(tmp_path)


def test_every_block_of_the_page_is_python() -> None:
    assert len(BLOCKS) == TEXT.count("```") // 2 >= 10


def test_the_page_runs_as_a_script(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/python.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "did you mean 'ada_sise'" in printed
    assert "paired differences from SISE" in printed
    assert isinstance(names["saliency"], api.SaliencyMap)
    assert isinstance(names["results"], api.Results)
    assert len(names["records"]) == 3 * names["records"].groupby("method").size().iloc[0]
    assert r"\begin{table" in names["latex"]
    assert {"insertion", "deletion"} <= set(names["metrics"])


def test_the_page_runs_as_a_notebook() -> None:
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [nbformat.v4.new_code_cell(block) for block in BLOCKS]
    notebook = nbformat.v4.new_notebook(cells=cells)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    shown = [
        output.data for cell in cells for output in cell.outputs if output.output_type == "execute_result"
    ]
    pictures = [data["image/png"] for data in shown if "image/png" in data]
    assert len(pictures) == 3  # of two methods, and of the network of one's own
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as drawn:
            assert np.ptp(np.asarray(drawn.convert("RGB")).astype(int), axis=2).max() > 100
    tables = [data["text/html"] for data in shown if "text/html" in data]
    assert any("<h4>Table 1" in table for table in tables)
    assert sum("EBPG" in table for table in tables) >= 3  # of two maps, and of the run
