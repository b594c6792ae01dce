"""The values of a run in one small file, with which later runs are compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from adasise_bench.methods.registry import METHODS
from adasise_bench.metrics.registry import DEFINITIONS, QUALITY
from adasise_bench.records import environment, evidence
from adasise_bench.records.checks import named, out_of_range, ranges
from adasise_bench.records.folder_names import FINISHED
from adasise_bench.records.reading import compact_frame
from adasise_bench.records.record import SCHEMA
from adasise_bench.records.run import Run, load_run
from adasise_bench.regression.comparison import KEY, MAPS, PAIR, VALUES, with_equal_keys
from adasise_bench.utils.errors import ConfigError, DataError
from adasise_bench.utils.files import regular, write_atomically
from adasise_bench.utils.settings import first_problem, suggest

_DECIMALS = 6
_ROUNDED = 1.01 * 10**-_DECIMALS
_TIME_DIGITS = 4


_ONE_PERPAIR: Any = (list[float | None], ...)

_Metrics = create_model("_Metrics", **dict.fromkeys(QUALITY, _ONE_PERPAIR))


class _Columns(_Metrics):  # which has a field for each metric that is compared
    """The values of one method on one network, one per pair; null if a pair has none."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    maps_kept: list[list[int] | None]
    degenerate: list[bool | None]
    error: list[str | None]
    seconds: list[float | None]
    forwards: list[int | None]
    seconds_plain_forward: list[float | None]


class _Pairs(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    image_id: list[str]
    class_name: list[str]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    format: Literal[1]
    identity: dict[str, Any]
    made_by: dict[str, Any]
    planned_pairs: int | None = None
    means: dict[str, dict[str, dict[str, float | None]]]
    pairs: _Pairs
    values: dict[str, dict[str, _Columns]]


@dataclass(frozen=True)
class Baseline:
    """The rounded values of a run, and what they depend on.

    Attributes:
        identity: what must be equal for two runs to be comparable: configuration, weights, data, definitions.
        made_by: what may differ between them: tool, versions, device.
        values: one row per explanation, sorted, with :data:`KEY` and :data:`VALUES` as columns. Texts are
            categories, numbers are float64, and ``maps_kept`` has lists of Arrow, so that a million rows
            take about 0.15 GB.
        planned_pairs: number of pairs that each method was to explain on each network, if the run had not
            finished; ``None`` if it had.
    """

    identity: dict[str, Any]
    made_by: dict[str, Any]
    values: pd.DataFrame
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
                raise ConfigError(f"no method {name!r} in the run{suggest(name, known)}")
        kept = {name: known[name] for name in methods}
        definitions = _definitions(self.identity["definitions"], kept)
        identity = self.identity | {"methods": kept, "definitions": definitions}
        if evidence.NAME in identity:
            identity[evidence.NAME] = _evidence(identity[evidence.NAME], kept)
        return replace(self, identity=identity, values=self.values[self.values["method"].isin(methods)])

    def untimed(self) -> Baseline:
        """The same values without run-times, which only an idle machine can measure."""
        return replace(self, values=self.values.assign(seconds=np.nan, seconds_plain_forward=np.nan))

    @property
    def unfinished(self) -> str:
        """A phrase that says that the run had not finished; empty if it had."""
        if self.planned_pairs is None:
            return ""
        made = self.values.groupby(["model", "method"], observed=True).size()
        return (
            f"made of an unfinished run, with {made.sum()} of {self.planned_pairs * len(made)} explanations"
        )


def open_baseline(path: Path) -> Baseline:
    """Read a baseline file, or make a baseline of a run folder.

    Raises:
        DataError: the path is neither, or it is damaged.
    """
    return baseline_of(load_run(path)) if path.is_dir() else read_baseline(path)


def baseline_of(run: Run) -> Baseline:
    """The baseline of a run, which may be unfinished.

    Percentages are rounded to 6 decimals and seconds to 4 digits; that is finer than two runs agree.

    Raises:
        DataError: the run has no records, or an earlier version wrote it, which did not say what it ran.
    """
    facts = run.environment
    values = compact_frame(run.read, [*KEY, *VALUES])
    if values.empty:
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
    values["class_name"] = _never_null(values["class_name"])
    for name in QUALITY:
        values[name] = values[name].astype(float).round(_DECIMALS)
    for name in ("seconds", "seconds_plain_forward"):
        values[name] = [float(f"{number:.{_TIME_DIGITS}g}") for number in values[name].astype(float)]
    values = values.sort_values(KEY, ignore_index=True)
    pairs, made = facts["data"]["pairs"], values.groupby(["model", "method"], observed=True).size()
    finished = (run.folder / FINISHED).exists() or (made >= pairs).all()
    return Baseline(identity, made_by, values, None if finished else pairs)


def _never_null(classes: pd.Series[Any]) -> pd.Series[Any]:
    """The names of classes, with an empty one where there is none."""
    if not classes.hasnans:
        return classes
    categories = classes.cat.categories
    return classes.cat.set_categories(["", *categories[categories != ""]]).fillna("")


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


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline file; equal values give equal bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    values = baseline.values
    pairs = values[PAIR].drop_duplicates().sort_values(PAIR)
    columns: dict[str, dict[str, Callable[[], Mapping[str, Any]]]] = {}
    means: dict[str, dict[str, dict[str, float | None]]] = {}
    for (model, method), group in values.groupby(["model", "method"], observed=True):
        columns.setdefault(str(model), {})[str(method)] = partial(_aligned, pairs, group)
        means.setdefault(str(model), {})[str(method)] = {
            name: _plain(round(float(group[name].mean()), _DECIMALS)) for name in QUALITY
        }
    tree = {
        "format": 1,
        "identity": baseline.identity,
        "made_by": baseline.made_by,
        "means": means,
        "pairs": {name: pairs[name].tolist() for name in PAIR},
        "values": columns,
    }
    if baseline.planned_pairs is not None:
        tree["planned_pairs"] = baseline.planned_pairs
    write_atomically(path, partial(_write_json, tree))


def _aligned(pairs: pd.DataFrame, group: pd.DataFrame) -> Mapping[str, pd.Series[Any]]:
    """The values of one method on one network, by column, a row for each of the pairs."""
    aligned = pairs.merge(group, how="left", on=PAIR)
    return {name: aligned[name] for name in VALUES}


def _write_json(tree: Any, path: Path) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.writelines(_json(tree))
        file.write("\n")


def _plain(value: Any) -> Any:
    """A cell of a data frame as a JSON value; whole numbers have no decimal point."""
    if isinstance(value, float):
        return None if value != value else int(value) if value.is_integer() else value
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value if isinstance(value, str | list) or not pd.isna(value) else None


def _json(tree: Any, indent: str = "") -> Iterator[str]:
    """Pieces of JSON with sorted keys, in which every list stands on one line.

    A function stands for what it returns, which is made only when its turn comes.
    """
    if callable(tree):
        tree = tree()
    if isinstance(tree, pd.Series):
        tree = [_plain(value) for value in tree]
    if not isinstance(tree, Mapping) or not tree:
        yield json.dumps(tree, separators=(",", ":"), allow_nan=False)
        return
    inner, before = indent + " ", "{\n"
    for key in sorted(tree):
        yield f"{before}{inner}{json.dumps(key)}: "
        yield from _json(tree[key], inner)
        before = ",\n"
    yield f"\n{indent}}}"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file that :func:`write_baseline` wrote.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        with regular(path) as file:
            stored = _File.model_validate_json(file.read())
    except OSError as error:
        reason = error.strerror or error
        raise DataError(f"{path}: cannot be read: {reason}; name a baseline or a run folder") from None
    except ValidationError as error:
        raise _damaged(path, first_problem(error, _File)) from None
    frames = []
    pairs = {name: _category(texts) for name, texts in stored.pairs}
    for model, methods in stored.values.items():
        for method in list(methods):
            columns = methods.pop(method)  # so that the lists of one method after the other are freed
            try:
                frame = pd.DataFrame(pairs | {name: _array(name, cells) for name, cells in columns})
            except OverflowError:
                raise _damaged(path, f"a number of {method} is too large") from None
            except ValueError:
                raise _damaged(path, f"the columns of {method} differ in length") from None
            present = frame["ebpg"].notna() | frame["error"].notna()
            frames.append(frame[present].assign(model=model, method=method))
    if not frames:
        raise _damaged(path, "it has no values")
    values = pd.concat(frames)[[*KEY, *VALUES]]
    for name in ("model", "method", "error"):
        values[name] = values[name].astype("category")
    values = values.sort_values(KEY, ignore_index=True)
    _refuse_edited(path, stored, values)
    return Baseline(stored.identity, stored.made_by, values, stored.planned_pairs)


def _category(texts: Sequence[str]) -> pd.Categorical[str]:
    return pd.Categorical(list(texts), categories=sorted(set(texts)))


def _array(name: str, cells: Sequence[Any]) -> Any:
    """The cells of a column of a baseline file as an array of the type that the column has in memory."""
    if name == MAPS:
        return pd.arrays.ArrowExtensionArray(pa.array(cells, SCHEMA.field(MAPS).type))
    return np.array(cells, object if name in ("degenerate", "error") else float)


def _refuse_edited(path: Path, stored: _File, values: pd.DataFrame) -> None:
    """Refuse values that a metric cannot have, and values whose mean is not the one that the file holds.

    Raises:
        DataError: names the first of them.
    """
    possible = ranges(str(stored.identity.get("score")))
    for name in QUALITY:
        impossible = out_of_range(values[name], possible[name])
        if impossible.any():
            first = values[impossible].iloc[0]
            raise _damaged(path, f"{named(first)}: {name} cannot be {first[name]:g}")
    for (model, method), group in values.groupby(["model", "method"], observed=True):
        means = stored.means.get(str(model), {}).get(str(method), {})
        for name in QUALITY:
            stated, found = means.get(name), group[name].astype(float).mean()
            if pd.isna(found) != (stated is None) or (stated is not None and abs(found - stated) > _ROUNDED):
                raise _damaged(path, f"the mean of {name} of {method} on {model} is not that of its values")


def _damaged(path: Path, problem: str) -> DataError:
    return DataError(f"{path}: not a baseline: {problem}; make it again with `adasise-bench baseline`")


def refuse_incomparable(base: Baseline, new: Baseline) -> None:
    """Refuse two runs that cannot be compared.

    Raises:
        ConfigError: they differ in settings, weights, pictures or definitions, which the message names, or
            they have no pair in common.
    """
    found = environment.differences(base.identity, new.identity)
    if found:
        raise ConfigError(
            f"cannot be compared: {'; '.join(found[:4])}; run with the same settings, or make a new baseline"
        )
    one, other = with_equal_keys(base.values[KEY], new.values[KEY])
    if one.merge(other, on=KEY).empty:
        raise ConfigError("cannot be compared: they have no pair in common; run the same pictures")


def why_untimed(base: Baseline, new: Baseline) -> str:
    """The reason why the speed of two runs cannot be compared; empty if it can."""
    before, now = base.made_by.get("device"), new.made_by.get("device")
    if before != now:
        return f"the baseline was timed on {before}, this run on {now}"
    for model in sorted({*base.values["model"].unique(), *new.values["model"].unique()}):
        ours, theirs = (side.made_by.get(_YARDSTICKS, {}).get(model, "torch") for side in (base, new))
        if ours != theirs:
            return (
                f"the baseline's plain forward passes of {model} ran by {ours}, this run's by {theirs}; "
                f"set engine.backend to {ours}"
            )
    return ""
