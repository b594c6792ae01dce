"""Where maps come from that a run read and did not make."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from adasise_bench.methods.registry import STORED_MAP
from adasise_bench.records.run import Run
from adasise_bench.reporting.tables.model import title_of


def maker_of(entry: Mapping[str, Any]) -> str:
    """The name of the method that made an entry's maps; of stored maps, ``stored_map`` if no run tells it."""
    return str(entry.get("made_by", {}).get("name", STORED_MAP)) if is_stored(entry) else str(entry["name"])


def is_stored(entry: Mapping[str, Any]) -> bool:
    """Whether an entry under ``methods`` has its maps from files."""
    return bool(entry["name"] == STORED_MAP)


def digest_names(runs: Iterable[Run]) -> set[str]:
    """Under which names environments have the digests of maps, which :func:`origin_notes` tells."""
    return {
        _digest_name(entry, model)
        for run in runs
        for entry in filter(is_stored, run.config["methods"])
        for model in entry.get("folders", {})
    }


def origin_notes(runs: Sequence[Run], labels: Container[str]) -> Iterator[str]:
    """For each of these methods whose maps were read: the folders, their digest, and what is known of it."""
    titles = []
    for run in runs:
        for entry in (one for one in run.config["methods"] if is_stored(one) and one["label"] in labels):
            titles.append(title_of(entry["label"]))
            yield f"{titles[-1]}: maps from {'; '.join(_places(run, entry))}{_how(entry)}."
    if titles:
        yield f"{', '.join(titles)}: maps that were read. So neither run-times nor passes are known."


def _places(run: Run, entry: Mapping[str, Any]) -> Iterator[str]:
    for model, folder in entry.get("folders", {}).items():
        digest = run.environment["definitions"].get(_digest_name(entry, model))
        yield f"{folder} ({digest})" if digest else str(folder)


def _digest_name(entry: Mapping[str, Any], model: str) -> str:
    return f"{entry['label']}.maps.{model}"


def _how(entry: Mapping[str, Any]) -> str:
    made_by = dict(entry.get("made_by", {}))
    name = made_by.pop("name", None)
    options = "".join(f", {option}={value}" for option, value in made_by.items())
    maker = f", made by {name}{options}" if name else ""
    resized = ", resized where they had another size than the input" if entry.get("resize") else ""
    clamped = ", negative values counted as 0" if entry.get("negative") == "clamp" else ""
    return f"{maker}{resized}{clamped}"
