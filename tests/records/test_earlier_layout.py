"""A run folder of November 2026, layout version 1, stays readable, and its tables stay what they were."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from adasise_bench.records.folder_names import FINISHED, MANIFEST
from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import build_tables

GOLDEN = Path(__file__).parents[1] / "golden"
FOLDER = GOLDEN / "run_folder"
METHODS = ["extremal_perturbation", "sise", "ada_sise"]
"""In the order in which the version that wrote the folder showed them."""


@pytest.mark.parametrize("state", ["finished", "in flight"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("against", {"against": "sise"}),
        ("by class", {"by": "class", "metrics": ["ebpg", "pointing", "seconds_p90"]}),
    ],
)
def test_tables_are_what_they_were(tmp_path: Path, state: str, name: str, options: dict[str, Any]) -> None:
    """The numbers are those of the version that wrote the folder, but for rounding on other processors."""
    folder = tmp_path / FOLDER.name
    shutil.copytree(FOLDER, folder)
    if state == "in flight":
        (folder / FINISHED).unlink()
        (folder / MANIFEST).unlink()
    tables = build_tables([load_run(folder)], methods=METHODS, **options)
    expected = json.loads((GOLDEN / "run_folder_tables.json").read_text(encoding="utf-8"))[name]
    assert list(tables.notes) == expected["notes"]
    cells = [cell for table in tables.tables for row in table.rows for cell in row.cells]
    assert len(cells) == len(expected["cells"])
    for cell, numbers in zip(cells, expected["cells"], strict=True):
        found = [cell.measured, cell.low, cell.high, cell.n, cell.chance]
        assert [number is None for number in found] == [number is None for number in numbers]
        assert [n for n in found if n is not None] == pytest.approx(
            [n for n in numbers if n is not None], rel=1e-12
        )
