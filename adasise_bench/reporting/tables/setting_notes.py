"""Notes on how the numbers under the tables were made: weights, pictures, rules, options, machines."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

from adasise_bench.data.rules import SETS, Rules
from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import METRICS
from adasise_bench.records.columns import NetworkRecords
from adasise_bench.records.record import SCHEMA
from adasise_bench.records.run import Run
from adasise_bench.reporting.tables.deviations import coverage
from adasise_bench.reporting.tables.model import Table, title_of
from adasise_bench.reporting.tables.origins import digest_names, is_stored, maker_of


def caveats(
    runs: Sequence[Run], networks: Mapping[str, NetworkRecords], told: Container[str] = ()
) -> Iterator[str]:
    """Why the numbers cannot be compared with the paper's: other weights, part of the data, drawn scenes.

    Args:
        runs: what was run.
        networks: their records, joined.
        told: networks of which a table says how much of the data there is.
    """
    weights = {model: facts for run in runs for model, facts in run.environment["models"].items()}
    reasons = [reason for model in networks for reason in weights_reasons(model, weights[model])]
    if any(run.environment["data"]["embedded"] for run in runs):
        reasons.append("drawn scenes, not photographs")
    yield from incomparable(reasons)
    untold = {model: network for model, network in networks.items() if model not in told}
    yield from together(
        (title_of(model), coverage(model, runs, network)) for model, network in untold.items()
    )


def incomparable(reasons: Sequence[str]) -> Iterator[str]:
    """One note for all reasons why numbers cannot be compared with the papers'."""
    if reasons:
        yield f"Not comparable with the papers' numbers: {'; '.join(reasons)}."


def weights_reasons(model: str, facts: Mapping[str, Any]) -> Iterator[str]:
    """That a network's weights are not the published ones; ``facts`` is what an environment says of it."""
    if not facts["published"]:
        digest = facts["weights_sha256"][:12]
        yield f"{title_of(model)} is not the published model but {facts['weights_file']}, SHA-256 {digest}"


def together(told: Iterable[tuple[str, str]]) -> Iterator[str]:
    """One note for all subjects of which the same is told; nothing is told by an empty text."""
    subjects: dict[str, list[str]] = {}
    for subject, text in told:
        subjects.setdefault(text, []).append(subject)
    for text, names in subjects.items():
        if text:
            yield f"{', '.join(dict.fromkeys(names))}: {text}."


def rules_notes(given: Mapping[str, str]) -> Iterator[str]:
    """By which rules was made and measured, where these are not the protocol's."""
    rules = Rules.model_validate(given)
    if changed := rules.changed():
        listed = ", ".join(f"{name}={value}" for name, value in changed.items())
        name = rules.title if rules.title in SETS else "not the protocol's"
        yield f"Rules: {name} ({listed}); numbers by other rules are not comparable with these."


def option_notes(
    runs: Sequence[Run], labels: Iterable[str], networks: Container[str], told: Container[str] = ()
) -> Iterator[str]:
    """Options of these methods, and sides of these networks' blocks, that are not the defaults.

    Args:
        runs: what was run.
        labels: of the methods.
        networks: names of the networks.
        told: those of which a table says at which side of the blocks maps are read.
    """
    stored = {entry["label"] for run in runs for entry in run.config["methods"] if is_stored(entry)}
    options = {label: own for run in runs for label, own in run.environment["methods"].items()}
    shown = [
        label for label in labels if label not in stored
    ]  # of stored maps, notes say where they come from
    yield from together((title_of(label), _options(options.get(label, {}))) for label in shown)
    models = {model: entry for run in runs for model, entry in run.config["models"].items()}
    facts = {model: facts for run in runs for model, facts in run.environment["models"].items()}
    yield from together(
        (title_of(model), _blocks(entry, facts.get(model, {})))
        for model, entry in models.items()
        if model in networks and (model not in told or "source" in entry)
    )


def _options(options: Mapping[str, Any]) -> str:
    listed = ", ".join(f"{option}={value}" for option, value in options.items())
    return f"options that are not the default: {listed}" if listed else ""


def _blocks(entry: Mapping[str, Any], facts: Mapping[str, Any]) -> str:
    if "source" in entry:
        blocks = ", ".join(facts.get("blocks", []))
        return f"own network ({entry['source']}); feature maps are read after {blocks}"
    if entry.get("blocks") != "pool-input":
        return f"feature maps are read at the {entry.get('blocks')} side of the blocks"
    return ""


def area_notes(runs: Sequence[Run], labels: Iterable[str]) -> Iterator[str]:
    """What the areas of Extremal Perturbation are shares of, if not of the picture."""
    entries = {entry["label"]: entry for run in runs for entry in run.config["methods"]}
    of_frame = [
        title_of(label)
        for label in labels
        if (entry := entries.get(label, {})).get("name") == "extremal_perturbation"
        and entry.get("areas_of", "frame") == "frame"
    ]
    if of_frame:
        yield (
            f"{', '.join(of_frame)}: areas are shares of the frame, which reaches beyond the picture, as "
            "in TorchRay. As shares of the picture, they are larger."
        )


def run_notes(runs: Sequence[Run]) -> Iterator[str]:
    """On what and with what every run was made; what all have in common is said once."""
    facts = {run.folder.name: list(_facts(run)) for run in runs}
    every = list(facts.values())
    shared = [fact for fact in every[0] if all(fact in own for own in every)]
    texts = [", ".join(shared)] if shared else []
    apart = {name: ", ".join(fact for fact in own if fact not in shared) for name, own in facts.items()}
    texts += [f"{name}: {text}" for name, text in apart.items() if text]
    yield f"{', '.join(facts)}: {'; '.join(texts)}."


def _facts(run: Run) -> Iterator[str]:
    environment, data = run.environment, run.config["data"]
    tool = environment["tool"]
    commit = f" (commit {tool['commit']})" if tool["commit"] else ""
    left_out = environment["data"].get("left_out")
    without = f" (images without objects left out: {left_out})" if left_out else ""
    yield f"{environment['data']['name']}{without}"
    yield f"input {data['input_size']} px ({data['resize']})"
    yield f"score {run.config['score']}"
    yield f"{environment['device_name']} ({environment['device']})"
    yield environment["precision"]
    yield f"torch {environment['torch']}"
    yield f"adasise-bench {tool['version']}{commit}"


def definition_notes(
    runs: Sequence[Run], networks: Container[str], labels: Iterable[str], tables: Iterable[Table]
) -> Iterator[str]:
    """The names of what the shown metrics, methods and networks of the user's own compute.

    Args:
        runs: what was run.
        networks: names of the networks.
        labels: of the methods.
        tables: those that show the metrics.
    """
    shown = set(labels)
    methods = {entry["name"] for run in runs for entry in run.config["methods"] if entry["label"] in shown}
    cells = (cell for table in tables for row in table.rows for cell in row.cells)
    measured = {cell.metric for cell in cells if cell.measured is not None}
    columns = {metric.column for name, metric in METRICS.items() if name in measured}
    told = digest_names(runs)

    def concerned(name: str) -> bool:
        if name in METHODS:
            return name in methods
        if name in SCHEMA.names:
            return name in columns
        kind, _, model = name.partition(".")
        return model in networks if kind == "models" else name not in told

    definitions = {
        definition
        for run in runs
        for name, definition in run.environment["definitions"].items()
        if concerned(name)
    }
    if definitions:
        yield f"Definitions: {', '.join(sorted(definitions))}."


def control_labels(runs: Iterable[Run]) -> list[str]:
    """Labels of the runs' entries that are controls."""
    entries = [entry for run in runs for entry in run.config["methods"]]
    return [
        entry["label"] for entry in entries if (name := maker_of(entry)) in METHODS and METHODS[name].control
    ]


def usual_order(runs: Iterable[Run], present: Iterable[str]) -> list[str]:
    """The labels that are present in the order of the configurations, controls last."""
    runs = list(runs)
    configured = dict.fromkeys(entry["label"] for run in runs for entry in run.config["methods"])
    there = set(present)
    every = [label for label in dict.fromkeys([*configured, *sorted(there)]) if label in there]
    return sorted(every, key=set(control_labels(runs)).__contains__)


def control_notes(runs: Iterable[Run], labels: Iterable[str]) -> Iterator[str]:
    """Which of these methods are controls."""
    controls = set(control_labels(runs))
    apart = [title_of(label) for label in labels if label in controls]
    if apart:
        do = "controls, which do" if len(apart) > 1 else "a control, which does"
        are = "are" if len(apart) > 1 else "is"
        yield f"{', '.join(apart)}: {do} not ask the network and {are} never marked as best."
