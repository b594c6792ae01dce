"""What the files of a run folder are called, and what is said of a folder that has none of them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from adasise_bench.utils.errors import DataError

CONFIG = "config.yaml"
ENVIRONMENT = "environment.json"
PICTURES = "pictures.sha256"
IN_FLIGHT = "records.jsonl"
FINISHED = "records.parquet"
MANIFEST = "manifest.json"
PROGRESS = "progress.json"
LOCK = ".lock"
MAPS = "maps"
LOGS = "logs"


def no_run_folder(folder: Path) -> DataError:
    """The error for a path that is no run folder; it says what to give instead."""
    if not folder.exists():
        return DataError(f"{folder}: no such folder; give the one that `run` printed")
    runs: list[str] = []
    with suppress(OSError):
        runs = sorted(str(path.parent) for path in folder.glob(f"*/{CONFIG}"))
    cure = f"give one that it holds, such as {runs[0]}" if runs else "give the folder that `run` printed"
    return DataError(f"{folder}: not a run folder, or its run has not begun; {cure}")
