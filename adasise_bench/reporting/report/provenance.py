"""Says where the numbers of a run come from."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import yaml

from adasise_bench.records.run import Run
from adasise_bench.reporting.tables import title_of


class Provenance(NamedTuple):
    """One run: the most important facts, and its two files in full."""

    folder: str
    facts: tuple[tuple[str, str], ...]
    config: str
    environment: str


def provenance_of(run: Run) -> Provenance:
    """What a run's ``config.yaml`` and ``environment.json`` say."""
    return Provenance(
        folder=str(run.folder),
        facts=(*facts_of(run, run.environment["models"]), *_definitions(run)),
        config=yaml.safe_dump(run.config, sort_keys=False, allow_unicode=True),
        environment=json.dumps(run.environment, indent=2, ensure_ascii=False, default=str),
    )


def facts_of(run: Run, models: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The most important facts about a run, by their names.

    Args:
        run: the run.
        models: names of the networks whose weights are told.
    """
    environment, config = run.environment, run.config
    data, tool = environment["data"], environment["tool"]
    commit = f", commit {tool['commit']}" if tool["commit"] else ""
    yield "Tool", f"adasise-bench {tool['version']}{commit}, torch {environment['torch']}"
    yield "Device", f"{environment['device_name']} ({environment['device']}), {environment['precision']}"
    yield "Data", f"{data['name']}, {data['images']} images, {data['pairs']} pairs"
    yield "Network input", f"{config['data']['input_size']} px ({config['data']['resize']})"
    yield "Score Ψ", str(config["score"])
    for model in models:
        yield title_of(model), _weights(environment["models"][model])
    for method in config["methods"]:
        options = ", ".join(f"{name} {value}" for name, value in method.items() if name != "label")
        yield title_of(method["label"]), options


def _definitions(run: Run) -> Iterator[tuple[str, str]]:
    if definitions := run.environment["definitions"]:
        yield "Definitions", ", ".join(definitions.values())


def _weights(weights: dict[str, Any]) -> str:
    origin = "the published weights" if weights["published"] else "not the published weights"
    return f"{origin}: {weights['weights_file']}, SHA-256 {weights['weights_sha256']}"
