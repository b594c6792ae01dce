"""Remembers the engine found for a network on a machine, so that later runs start fast and repeat values."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from adasise_bench.models.engine import Engine
from adasise_bench.utils.errors import OutputError
from adasise_bench.utils.files import read_text, write_text_atomically


def cache_file() -> Path:
    """``adasise-bench/engines.json`` in the user's cache folder.

    Raises:
        FileNotFoundError: the user has no home folder, as in containers that run under any number.
    """
    try:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError as error:
        raise FileNotFoundError(str(error)) from None
    return Path(base) / "adasise-bench" / "engines.json"


def recall(key: Sequence[object]) -> Engine | None:
    """The engine remembered for a key; ``None`` if there is none, or if the file is damaged."""
    try:
        return Engine.of(json.loads(read_text(cache_file()))[_name(key)])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def remember(key: Sequence[object], engine: Engine) -> None:
    """Keep an engine for later runs, if the cache folder can be written."""
    try:
        known = dict(json.loads(read_text(cache_file())))
    except (OSError, ValueError, TypeError, RecursionError):
        known = {}
    with suppress(OSError, OutputError):
        write_text_atomically(cache_file(), json.dumps(known | {_name(key): asdict(engine)}, indent=1) + "\n")


def _name(key: Sequence[object]) -> str:
    return ", ".join(map(str, key))
