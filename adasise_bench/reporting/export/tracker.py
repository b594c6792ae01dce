"""Logs the results of a network into trackio, an experiment tracker whose files lie on this machine."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from types import ModuleType
from typing import Any

from adasise_bench.reporting.export.scores import NetworkResults, Score
from adasise_bench.utils.errors import ConfigError, OutputError
from adasise_bench.utils.files import as_output_error
from adasise_bench.utils.messages import printable

_LOSS = re.compile("fail|could not|skipped", re.IGNORECASE)
"""What trackio's warnings say where something was not stored."""


def log_runs(results: NetworkResults, project: str, folder: Path | None) -> Iterator[str]:
    """Log one run for each method, with its metrics at step 0 and its settings.

    Nothing is sent anywhere: trackio is told neither a Space nor a server.

    Args:
        results: of one network.
        project: trackio's name for runs that belong together.
        folder: where trackio keeps its files; by default, where it keeps them for the user.

    Yields:
        The names of the runs, when they are stored.

    Raises:
        ConfigError: trackio is not installed.
        OutputError: trackio cannot store a run.
    """
    trackio = _trackio(folder)
    named = re.sub(r"[^A-Za-z0-9_-]+", "-", project).strip("-") or "adasise-bench"
    for method, scores in groupby(sorted(results.scores, key=_method), key=_method):
        name = printable(f"{method} on {results.model}")
        with contextlib.redirect_stdout(sys.stderr), _losses_refused(name):  # it prints how to open it
            run = trackio.init(
                project=named,
                name=name,
                config=_settings(results, method),
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )
            run.log(dict(_values(scores)), step=0)
            trackio.finish()
        yield f"{named}: {name}"


@contextlib.contextmanager
def _losses_refused(name: str) -> Iterator[None]:
    """Refuse to go on where trackio only warns, from a thread of its own, that it could not store something.

    Raises:
        OutputError: says what it warned of.
    """
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    texts = [str(warning.message) for warning in told if issubclass(warning.category, UserWarning)]
    if lost := next((text for text in texts if _LOSS.search(text)), None):
        reason = lost.partition(" User code")[0].rstrip(".")
        raise OutputError(f"{name}: not stored: {reason}; choose another --output, or mend this one")


def _trackio(folder: Path | None) -> ModuleType:
    if folder is not None:
        with as_output_error(folder):
            folder.mkdir(parents=True, exist_ok=True)
        os.environ["TRACKIO_DIR"] = str(folder)  # it is read when trackio is imported
    for variable in ("TRACKIO_SPACE_ID", "TRACKIO_SERVER_URL"):
        os.environ.pop(variable, None)  # the results stay on this machine
    try:
        import trackio
    except ImportError:
        raise ConfigError(
            "--to trackio: trackio is not installed: pip install 'adasise-bench[trackio]'"
        ) from None
    module: ModuleType = trackio
    return module


def _method(score: Score) -> str:
    return score.method


def _values(scores: Iterator[Score]) -> Iterator[tuple[str, float]]:
    """The metrics, and the ends of their intervals."""
    for score in scores:
        yield score.name, score.value
        if score.low is not None and score.high is not None:
            yield f"{score.name}_low", score.low
            yield f"{score.name}_high", score.high


def _settings(results: NetworkResults, method: str) -> dict[str, Any]:
    data, config = results.data, results.runs[0].config
    return {
        "model": results.model,
        "method": method,
        "definition": results.definition(method),
        "options": results.options(method),
        "data": data["name"],
        "images": data["images"],
        "pairs": data["pairs"],
        "input_size": config["data"]["input_size"],
        "score": config["score"],
        "weights_sha256": results.weights["weights_sha256"],
        "published_weights": results.weights["published"],
        "tool": results.environment["tool"]["version"],
        "commit": results.environment["tool"]["commit"],
        "torch": results.environment["torch"],
        "device": results.environment["device_name"],
    }
