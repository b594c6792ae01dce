"""Reads what a run folder says of its run: the configuration and the environment."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from adasise_bench.records.folder_names import CONFIG, ENVIRONMENT
from adasise_bench.utils import plain_yaml
from adasise_bench.utils.files import read_text


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration as plain data.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is damaged; one line that says how.
    """
    return _mapping(folder / CONFIG, plain_yaml.parse)


def read_environment(folder: Path) -> dict[str, Any]:
    """The environment as plain data.

    Raises:
        OSError: it is missing or cannot be read.
        ValueError: it is damaged; one line that says how.
    """
    return _mapping(folder / ENVIRONMENT, json.loads)


def _mapping(path: Path, parse: Callable[[str], Any]) -> dict[str, Any]:
    try:
        tree = parse(read_text(path, within=path.parent))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(tree, dict):
        raise ValueError("no mapping")
    return tree
