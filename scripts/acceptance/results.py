"""The file of results: every change of it reaches the disk at once, so that a run cut short still tells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from adasise_bench.utils.files import write_text_atomically

Row = dict[str, Any]
"""One line of a step's table: JSON values by the column's name."""


class Results:
    """Results in one JSON file, which one process at a time changes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self, facts: Mapping[str, Any], titles: Mapping[str, str]) -> None:
        """Write a new file in which no step has been reached.

        Args:
            facts: what holds for all steps, ready for JSON.
            titles: the steps in their order, with one line about each.
        """
        steps = {
            name: {"title": title, "status": "not reached", "rows": []} for name, title in titles.items()
        }
        self._write({**facts, "steps": steps})

    def read(self) -> dict[str, Any]:
        """Everything that is known so far."""
        content: dict[str, Any] = json.loads(self.path.read_text())
        return content

    def add(self, step: str, row: Row) -> None:
        """Add a line to a step's table."""
        content = self.read()
        content["steps"][step]["rows"].append(row)
        self._write(content)

    def update(self, step: str, **facts: Any) -> None:
        """Change what is said about a step, such as its status."""
        content = self.read()
        content["steps"][step] |= facts
        self._write(content)

    def _write(self, content: Mapping[str, Any]) -> None:
        write_text_atomically(self.path, json.dumps(content, indent=1) + "\n")


def statuses(content: Mapping[str, Any]) -> Iterable[str]:
    """The status of every step: ``not reached``, ``running``, ``done``, ``failed`` or ``cut short``."""
    return [step["status"] for step in content["steps"].values()]
