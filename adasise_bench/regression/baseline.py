"""The values of a run in one small file, with which later runs are compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import DEFINITIONS
from adasise_bench.records import environment, evidence
from adasise_bench.records.folder_names import FINISHED
from adasise_bench.records.run import Run
from adasise_bench.regression.matching import have_a_pair_in_common
from adasise_bench.regression.values import VALUES, Values, sorted_values
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.settings import suggest

_SHOWN = 4


@dataclass(frozen=True)
class Baseline:
    """The rounded values of a run, and what they depend on.

    Attributes:
        identity: what must be equal for two runs to be comparable: configuration, weights, data, definitions.
        made_by: what may differ between them: tool, versions, device.
        values: the values that are compared.
        planned_pairs: number of pairs that each method was to explain on each network, if the run had not
            finished; ``None`` if it had.
    """

    identity: dict[str, Any]
    made_by: dict[str, Any]
    values: Values
    planned_pairs: int | None = None

    def only(self, methods: list[str]) -> Baseline:
        """The values of the methods with these labels; all values if the list is empty.

        Raises:
            ConfigError: there is no such method.
        """
        if not methods:
            return self
        known = self.identity["methods"]
        for name in methods:
            if name not in known:
                raise ConfigError(f"no method {name!r} in the run{suggest(name, known, methods)}")
        kept = {name: known[name] for name in methods}
        definitions = _definitions(self.identity["definitions"], kept)
        identity = self.identity | {"methods": kept, "definitions": definitions}
        if evidence.NAME in identity:
            identity[evidence.NAME] = _evidence(identity[evidence.NAME], kept)
        return replace(self, identity=identity, values=self.values.only(methods))

    def untimed(self) -> Baseline:
        """The same values without run-times, which only an idle machine can measure."""
        return replace(self, values=replace(self.values, timed=False))

    @property
    def unfinished(self) -> str:
        """A phrase that says that the run had not finished; empty if it had."""
        if self.planned_pairs is None:
            return ""
        made, planned = len(self.values), self.planned_pairs * len(self.values.groups)
        return f"made of an unfinished run, with {made} of {planned} explanations"


def baseline_of(run: Run) -> Baseline:
    """The baseline of a run, which may be unfinished.

    Percentages are rounded to 6 decimals and seconds to 4 digits; that is finer than two runs agree.

    Raises:
        DataError: the run has no records, or an earlier version wrote it, which did not say what it ran.
    """
    facts = run.environment
    values = sorted_values(run.read)
    if not len(values):
        raise DataError(f"{run.folder}: has no records yet; let the run finish")
    if "identity" not in facts or "fingerprint" not in facts["data"]:
        path = run.folder / "environment.json"
        raise DataError(f"{path}: does not say what was run; make the run again with this version")
    settings = {key: value for key, value in facts["identity"].items() if key not in _FREE}
    identity = settings | {
        "weights": {name: model["weights_sha256"] for name, model in sorted(facts["models"].items())},
        "pictures": {"name": facts["data"]["name"], "sha256": facts["data"]["fingerprint"]},
        "definitions": _definitions(facts["definitions"], settings["methods"]),
        evidence.NAME: _evidence(facts["definitions"] | evidence.of_run(facts), settings["methods"]),
    }
    made_by = {key: facts.get(key) for key in ("tool", "torch", "device", "device_name", "precision")}
    made_by["backends"] = environment.backend_versions(facts)
    made_by[_YARDSTICKS] = {name: _backend(model) for name, model in sorted(facts["models"].items())}
    pairs, made = facts["data"]["pairs"], [rows.stop - rows.start for rows in values.groups.values()]
    finished = (run.folder / FINISHED).exists() or min(made) >= pairs
    return Baseline(identity, made_by, values, None if finished else pairs)


def _evidence(every: Mapping[str, Any], methods: Mapping[str, Any]) -> dict[str, Any]:
    """What is known of the data, the networks, and the files and code on which these methods depend."""
    beginnings = ("data.", "models.", *(f"{label}." for label in methods))
    own = every.keys() - DEFINITIONS.keys() - METHODS.keys()
    return {name: every[name] for name in own if name.startswith(beginnings)}


def _definitions(every: Mapping[str, str], methods: Mapping[str, Any]) -> dict[str, str]:
    """The definitions of the metrics that a baseline holds, and of its methods."""
    there = {*VALUES, *(entry["name"] for entry in methods.values())}
    return {name: definition for name, definition in every.items() if name in there}


def _backend(model: Mapping[str, Any]) -> str:
    """What passed a network's whole batches; environments of earlier versions do not say: it was torch."""
    return str(model.get("engine", {}).get("backend", "torch"))


_YARDSTICKS = "plain_forward_by"
"""Where ``made_by`` says, by model, which backend ran the plain forward passes that costs are told in.

Baselines of earlier versions do not say: it was torch.
"""

_FREE = ("measures", "share_forwards", "timing")
"""Settings that do not change the values of a baseline, but what else is computed, or how times are taken."""


def refuse_incomparable(base: Baseline, new: Baseline) -> None:
    """Refuse two runs that cannot be compared.

    Raises:
        ConfigError: they differ in methods, settings, weights, pictures or definitions, which the message
            names, or they have no pair in common.
    """
    ours, theirs = base.identity["methods"], new.identity["methods"]
    shared = [label for label in ours if label in theirs]
    lacking = [f"methods.{label}: only in BASE" for label in ours if label not in theirs]
    lacking += [f"methods.{label}: only in NEW" for label in theirs if label not in ours]
    if lacking and shared:
        base, new = base.only(shared), new.only(shared)
    found = environment.differences(base.identity, new.identity) if shared else []
    if lacking and shared:
        lacking.append(f"--methods {','.join(shared)} compares what both have")
    if found or lacking:
        cure = [] if shared and not found else ["run with the same settings, or make a new baseline"]
        raise ConfigError(f"cannot be compared: {'; '.join([*lacking, *found[:_SHOWN], *cure])}")
    if not have_a_pair_in_common(base.values, new.values):
        raise ConfigError("cannot be compared: they have no pair in common; run the same pictures")


def why_untimed(base: Baseline, new: Baseline) -> str:
    """The reason why the speed of two runs cannot be compared; empty if it can."""
    before, now = base.made_by.get("device"), new.made_by.get("device")
    if before != now:
        return f"the baseline was timed on {before}, this run on {now}"
    for model in sorted({model for side in (base, new) for model, _ in side.values.groups}):
        ours, theirs = (side.made_by.get(_YARDSTICKS, {}).get(model, "torch") for side in (base, new))
        if ours != theirs:
            return (
                f"the baseline's plain forward passes of {model} ran by {ours}, this run's by {theirs}; "
                f"set engine.backend to {ours}"
            )
    return ""
