"""What no metric can give, and what contradicts the run, is named by everything that reads records."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pandas as pd
import pytest

from adasise_bench.records.checks import ranges, refuse_impossible
from adasise_bench.records.record import SCHEMA, Record
from adasise_bench.utils.errors import DataError

MODELS = {"vgg16": {"weights_sha256": "0123456789abcdef" * 4, "published": False}}


def check(kind: str = "softmax", **values: Any) -> None:
    record = Record("vgg16", "sise", "000001", "dog", **({"ebpg": 50.0} | values))
    records = pd.DataFrame([asdict(record)]).astype({"ebpg": float})
    refuse_impossible(records, score=kind, models=MODELS, where="FILE", cure="CURE")


def test_every_number_of_a_record_has_a_range() -> None:
    numbers = {field.name for field in SCHEMA if str(field.type) in ("double", "int64")}
    assert numbers == ranges("softmax").keys()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("ebpg", 25000.0), ("ebpg", -1e-3), ("bbox", 100.1), ("miou", -12.0), ("drop", 118.9),
        ("increase", 37.5), ("pointing", 1.0), ("pointing_difficult", -100.0), ("average_gain", 101.0),
        ("insertion", -3.0), ("deletion", 100.5), ("head_sensitivity", 1.01), ("score", 1.5),
        ("box_share", 120.0), ("seconds", -0.1), ("seconds_fusion", -0.1), ("forwards", -1),
        ("peak_memory_mb", -5.0),
    ],
)  # fmt: skip
def test_a_value_outside_of_its_range_is_named(column: str, value: float) -> None:
    with pytest.raises(DataError, match=rf"^FILE: vgg16 sise 000001 dog: {column} is {value:g}, .*; CURE$"):
        check(**{column: value})


@pytest.mark.parametrize(
    "values",
    [
        {"ebpg": 0.0}, {"ebpg": 100.00000000000003}, {"increase": 100.0, "drop": 0.0}, {"pointing": 0.0},
        {"head_sensitivity": -1.0}, {"score": 1.0}, {"ebpg": None, "error": "torn"},
    ],
)  # fmt: skip
def test_values_at_the_ends_of_their_range_pass(values: dict[str, Any]) -> None:
    check(**values)


def test_raw_outputs_have_no_bounds() -> None:
    check("logit", score=-7.0, drop=350.0, insertion=-20.0, deletion=400.0)
    with pytest.raises(DataError, match="drop is -1"):
        check("logit", drop=-1.0)
    with pytest.raises(DataError, match="ebpg is 101"):
        check("logit", ebpg=101.0)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"error": "torn"}, "has an error and values"),
        ({"increase": 100.0, "drop": 3.0}, "both rises"),
        ({"weights": "deadbeef0000"}, "weights is deadbeef0000, while environment.json says 0123456789ab"),
        ({"published_model": True}, "published_model is True, while environment.json says False"),
    ],
)
def test_contradictions_are_named(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        check(**values)


def test_agreement_with_the_environment_passes() -> None:
    check(weights="0123456789ab", published_model=False)
