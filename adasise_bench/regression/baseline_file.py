"""The file of a baseline: one JSON document in which equal values give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from adasise_bench.metrics.registry import QUALITY
from adasise_bench.records.checks import named, out_of_range, ranges
from adasise_bench.records.columns import distinct
from adasise_bench.records.reading import in_memory
from adasise_bench.records.record import SCHEMA
from adasise_bench.records.run import load_run
from adasise_bench.regression.baseline import Baseline, baseline_of
from adasise_bench.regression.values import (
    DECIMALS,
    KEY,
    VALUES,
    Values,
    aligned,
    places_among,
    sorted_values,
)
from adasise_bench.utils.errors import DataError
from adasise_bench.utils.files import regular, write_atomically
from adasise_bench.utils.settings import first_problem

_CELLS_AT_ONCE = 2**16

_ROUNDED = 1.01 * 10**-DECIMALS

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


def open_baseline(path: Path) -> Baseline:
    """Read a baseline file, or make a baseline of a run folder.

    Raises:
        DataError: the path is neither, or it is damaged.
    """
    return baseline_of(load_run(path)) if path.is_dir() else read_baseline(path)


def write_baseline(baseline: Baseline, path: Path) -> None:
    """Write a baseline file; equal values give equal bytes.

    Raises:
        OutputError: the file cannot be written.
    """
    values = baseline.values
    pairs = distinct(np.concatenate([values.pairs(rows) for rows in values.groups.values()]))
    images, classes = values.pair_names(pairs)
    columns: dict[str, dict[str, Callable[[], Mapping[str, Any]]]] = {}
    means: dict[str, dict[str, dict[str, float | None]]] = {}
    for (model, method), rows in values.groups.items():
        columns.setdefault(model, {})[method] = partial(_aligned, values, rows, pairs)
        means.setdefault(model, {})[method] = {
            name: _plain(round(float(values.column(name, rows).mean()), DECIMALS)) for name in QUALITY
        }
    tree = {
        "format": 1,
        "identity": baseline.identity,
        "made_by": baseline.made_by,
        "means": means,
        "pairs": {"image_id": images, "class_name": classes},
        "values": columns,
    }
    if baseline.planned_pairs is not None:
        tree["planned_pairs"] = baseline.planned_pairs
    write_atomically(path, partial(_write_json, tree))


def _aligned(
    values: Values, rows: slice, pairs: NDArray[np.int64]
) -> Mapping[str, Callable[[], pd.Series[Any]]]:
    """The columns of one method on one network, made when their turn comes, a row for each of these pairs."""
    places = places_among(pairs, values.pairs(rows))

    def column(name: str) -> pd.Series[Any]:
        return aligned(values.column(name, rows), places)

    return {name: partial(column, name) for name in VALUES}


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
    if isinstance(tree, pd.Series | pa.Array):
        yield from _list(pd.Series(tree))
        return
    if not isinstance(tree, Mapping) or not tree:
        yield json.dumps(tree, separators=(",", ":"), allow_nan=False)
        return
    inner, before = indent + " ", "{\n"
    for key in sorted(tree):
        yield f"{before}{inner}{json.dumps(key)}: "
        yield from _json(tree[key], inner)
        before = ",\n"
    yield f"\n{indent}}}"


def _list(values: pd.Series[Any]) -> Iterator[str]:
    """Pieces of a list, so that its cells never are Python objects all together."""
    yield "["
    for start in range(0, len(values), _CELLS_AT_ONCE):
        cells = [_plain(value) for value in values.iloc[start : start + _CELLS_AT_ONCE]]
        yield ("," if start else "") + json.dumps(cells, separators=(",", ":"), allow_nan=False)[1:-1]
    yield "]"


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
    tables = []
    pairs = {name: pa.array(texts, pa.string()).dictionary_encode() for name, texts in stored.pairs}
    for model, methods in stored.values.items():
        for method in list(methods):
            columns = methods.pop(method)  # so that the lists of one method after the other are freed
            try:
                arrays = {name: pa.array(cells, SCHEMA.field(name).type) for name, cells in columns}
            except (OverflowError, pa.ArrowInvalid):
                raise _damaged(path, f"a number of {method} is too large") from None
            if len({len(array) for array in (pairs | arrays).values()}) > 1:
                raise _damaged(path, f"the columns of {method} differ in length")
            table = pa.table(pairs | arrays)
            table = table.filter(pc.or_(table["ebpg"].is_valid(), table["error"].is_valid()))
            for name, label in (("model", model), ("method", method)):
                table = table.append_column(name, pa.repeat(pa.scalar(label, pa.string()), len(table)))
            tables.append(table)
    if not tables:
        raise _damaged(path, "it has no values")
    values = sorted_values(in_memory(pa.concat_tables(tables)))
    _refuse_edited(path, stored, values)
    return Baseline(stored.identity, stored.made_by, values, stored.planned_pairs)


def _refuse_edited(path: Path, stored: _File, values: Values) -> None:
    """Refuse values that a metric cannot have, and values whose mean is not the one that the file holds.

    Raises:
        DataError: names the first of them.
    """
    possible = ranges(str(stored.identity.get("score")))
    for (model, method), rows in values.groups.items():
        means = stored.means.get(model, {}).get(method, {})
        for name in QUALITY:
            column = values.column(name, rows)
            impossible = out_of_range(column, possible[name])
            if impossible.any():
                first = int(impossible.to_numpy().argmax())
                pair = (names[0].as_py() for names in values.pair_names(values.pairs(rows)[[first]]))
                key = pd.Series(dict(zip(KEY, (model, method, *pair), strict=True)))
                raise _damaged(path, f"{named(key)}: {name} cannot be {column[first]:g}")
            stated, found = means.get(name), column.mean()
            if pd.isna(found) != (stated is None) or (stated is not None and abs(found - stated) > _ROUNDED):
                raise _damaged(path, f"the mean of {name} of {method} on {model} is not that of its values")


def _damaged(path: Path, problem: str) -> DataError:
    return DataError(f"{path}: not a baseline: {problem}; make it again with `adasise-bench baseline`")
