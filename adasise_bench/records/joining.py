"""Which runs fit together, so that their records can be joined."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from adasise_bench.data.rules import Rules
from adasise_bench.records import evidence
from adasise_bench.records.run import Run
from adasise_bench.utils.errors import ConfigError, DataError


def refuse_nothing(runs: Sequence[Run], records: int) -> None:
    """Refuse runs that have not one record.

    Raises:
        DataError: names their folders.
    """
    if not records:
        names = ", ".join(str(run.folder) for run in runs)
        raise DataError(f"{names}: no records yet; wait for the first, or start the run again")


def of_measuring(run: Run) -> str:
    """The device and precision with which a run's seconds were measured."""
    return f"{run.environment['device_name']}, {run.environment['precision']}"


def refuse_disagreement(runs: Sequence[Run]) -> None:
    """Refuse runs that do not fit together, as :func:`~adasise_bench.records.columns.join` says.

    Raises:
        ConfigError: names what differs.
    """
    seen: dict[tuple[str, str], tuple[Any, Path]] = {}
    for run in runs:
        for model, setting, value in _settings(run):
            first, folder = seen.setdefault((model, setting), (value, run.folder))
            if first != value:
                name, one, other = _first_difference(setting, first, value)
                raise ConfigError(
                    f"{folder} and {run.folder} differ in {name} of {model}: {one} and {other}; "
                    "report them separately"
                )


def _first_difference(setting: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """What differs between two values of a setting; for mappings, the first entry that differs."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = sorted(one.keys() | other.keys())
        key = next(key for key in keys if one.get(key) != other.get(key))
        return _first_difference(f"{setting}.{key}", one.get(key), other.get(key))
    return setting, one, other


def _settings(run: Run) -> Iterator[tuple[str, str, Any]]:
    """What two runs must agree on, as (model, setting, value)."""
    data, rules = run.config["data"], Rules.model_validate(run.config["rules"])
    for model, weights in run.environment["models"].items():
        yield model, "rules", rules.title
        yield model, "weights", weights["weights_sha256"]
        yield model, "blocks", run.config["models"].get(model, {}).get("blocks")
        yield model, "score", run.config["score"]
        yield model, "precision", run.environment["precision"]
        yield model, "adasise-bench", run.environment["tool"]["version"]
        yield model, "data", run.environment["data"]["name"]
        if "fingerprint" in run.environment["data"]:
            yield model, "pictures (SHA-256)", str(run.environment["data"]["fingerprint"])[:16]
        for name, fact in evidence.of_data(run.environment).items():
            yield model, f"data.{name}", fact
        for name, fact in evidence.of_network(run.environment, model).items():
            yield model, f"network.{name}", fact
        yield model, "data.input_size", data["input_size"]
        yield model, "data.resize", data["resize"]
        for metric, definition in run.environment["definitions"].items():
            yield model, f"definition of {metric}", definition
        for method in run.config["methods"]:
            for option, value in method.items():
                yield model, f"{method['label']}.{option}", value
