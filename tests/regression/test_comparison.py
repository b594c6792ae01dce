"""What is compared, what may differ, and what is said about it."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adasise_bench.metrics.registry import QUALITY
from adasise_bench.records.reading import in_memory
from adasise_bench.records.record import SCHEMA
from adasise_bench.regression import comparison
from adasise_bench.regression.comparison import (
    BOUNDS,
    TOLERANCES,
    Finding,
    Limits,
    _lists,
    _maps_apart,
    _sums,
)
from adasise_bench.regression.output import as_json, as_junit, as_text, is_passed, summary
from adasise_bench.regression.values import DECIMALS, KEY, VALUES, Values, sorted_values

GOOD: dict[str, Any] = {
    "model": "resnet50", "method": "sise", "class_name": "dog", "ebpg": 50.0, "bbox": 60.0, "drop": 20.0,
    "increase": 0.0, "miou": 30.0, "maps_kept": [4, 5], "degenerate": False, "error": None, "seconds": 2.0,
    "forwards": 10, "seconds_plain_forward": 0.2,
}  # fmt: skip
MEASURES = ("ebpg", "bbox", "drop", "increase", "miou", "maps_kept", "degenerate", "seconds", "forwards",
            "seconds_plain_forward")  # fmt: skip


LIMITS = Limits()


def frame(*changes: dict[str, Any]) -> pd.DataFrame:
    """A frame of good rows, one per image, each with its changes."""
    rows = [GOOD | {"image_id": str(number)} | change for number, change in enumerate(changes)]
    return pd.DataFrame([pd.Series(row, dtype=object) for row in rows])


def broken(reason: str, **changes: Any) -> dict[str, Any]:
    return dict.fromkeys(MEASURES) | {"error": reason} | changes


def values_of(rows: pd.DataFrame) -> Values:
    """The rows of a frame, as a run's records would give them."""
    schema = pa.schema([SCHEMA.field(name) for name in (*KEY, *VALUES)])
    return sorted_values(in_memory(pa.Table.from_pandas(rows, schema, preserve_index=False)))


def compare(base: pd.DataFrame, new: pd.DataFrame, limits: Limits) -> list[Finding]:
    return comparison.compare(values_of(base), values_of(new), limits)


def check(
    name: str, base: pd.DataFrame, new: pd.DataFrame, limits: Limits = LIMITS, method: str = "sise"
) -> Finding:
    found = [f for f in compare(base, new, limits) if (f.method, f.check) == (method, name)]
    assert len(found) == 1
    return found[0]


def test_a_run_equals_itself_even_without_any_tolerance() -> None:
    values = frame({}, {"ebpg": 1 / 3}, broken("torn"), {"degenerate": True})
    found = compare(values, values, Limits([("", 0.0)], [("", 0.0)], 0.0))
    assert is_passed(found)
    names = {"maps_kept", "pairs", "errors", "degenerate", "speed", *QUALITY}
    assert {finding.check for finding in found} == names


@pytest.mark.parametrize("metric", QUALITY)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_mean_may_differ_by_its_tolerance_and_no_more(metric: str, sign: int) -> None:
    base = frame({}, {}, {}, {})
    for shift, verdict in ((0.05, "passed"), (0.0501, "failed")):
        new = frame(*[{metric: GOOD[metric] + sign * shift}] * 4)
        finding = check(metric, base, new)
        assert finding.verdict == verdict
        assert finding.difference == pytest.approx(sign * shift)
        others = [f for f in compare(base, new, Limits()) if f.check != metric]
        assert is_passed(others)
    better = (sign > 0) == (metric != "drop")
    assert ("better" if better else "worse") in finding.detail


def test_one_pair_beyond_its_bound_fails_although_the_mean_does_not_move() -> None:
    base, new = frame({}, {}, {}), frame({"ebpg": 50.6}, {"ebpg": 49.4}, {})
    finding = check("ebpg", base, new)
    assert finding.verdict == "failed"
    assert finding.at == "0 dog"
    assert "0 dog differs by +0.6" in finding.detail
    assert check("ebpg", base, new, Limits(bounds=[*BOUNDS, ("ebpg", 0.6)])).verdict == "passed"
    assert check("increase", frame({}, {}), frame({"increase": 100.0}, {"increase": 100.0})).bound is None


def test_the_most_specific_limit_counts_and_of_equals_the_last() -> None:
    base, new = frame({}), frame({"ebpg": 50.4, "bbox": 60.4})
    rules = [*TOLERANCES, ("sise", 0.5), ("ebpg", 0.3)]
    assert check("ebpg", base, new, Limits(rules)).verdict == "failed"
    assert check("bbox", base, new, Limits(rules)).verdict == "passed"
    assert check("ebpg", base, new, Limits([*rules, ("", None)])).verdict == "failed"
    assert check("ebpg", base, new, Limits([*rules, ("ebpg", None)])).verdict == "passed"
    assert check("bbox", base, new, Limits([*TOLERANCES, ("ada_sise", 9.0)])).verdict == "failed"


@pytest.mark.parametrize(
    ("kept", "apart", "verdict"),
    [
        ([4, 5], 0, "passed"),
        ([5, 4], 2, "failed"),
        ([4, 6], 1, "failed"),
        ([4, 5, 0], float("inf"), "failed"),
    ],
)  # fmt: skip
def test_maps_are_counted_block_by_block(kept: list[int], apart: float, verdict: str) -> None:
    finding = check("maps_kept", frame({}), frame({"maps_kept": kept}))
    assert (finding.difference, finding.verdict) == (apart, verdict)


def test_a_rare_flip_of_a_map_is_no_regression() -> None:
    base, new = frame({}, {}), frame({}, {"maps_kept": [4, 6]})
    assert check("maps_kept", base, new).verdict == "passed"


def test_only_pairs_of_both_are_compared_and_the_others_named() -> None:
    base = frame({}, {"ebpg": 90.0}, {"ebpg": 90.0})
    new = frame({}, broken("torn"), {"image_id": "7", "ebpg": 10.0})
    assert check("ebpg", base, new).pairs == 1
    assert check("ebpg", base, new).verdict == "passed"
    pairs = check("pairs", base, new)
    assert pairs.verdict == "failed"
    assert pairs.detail == "1 missing: 2 dog; 1 new: 7 dog; --partial allows pairs to be missing"
    assert check("pairs", base, new, Limits(partial=True)).verdict == "passed"
    errors = check("errors", base, new)
    assert (errors.verdict, errors.base, errors.new) == ("failed", 0, 1)
    assert "1 dog; torn" in errors.detail


def test_new_pairs_and_mended_errors_are_no_regression() -> None:
    base = frame({}, broken("torn", class_name=""))
    new = frame({}, {"class_name": "cat"})
    assert is_passed(compare(base, new, Limits()))
    assert check("errors", base, new).base == 1
    assert check("pairs", base, new).detail == "1 new: 1 cat"


def test_new_degenerate_maps_fail() -> None:
    base, new = frame({"degenerate": True}, {}), frame({"degenerate": True}, {"degenerate": True})
    assert check("degenerate", base, new).detail == "1 new: 1 dog"
    assert check("degenerate", new, base).verdict == "passed"


def test_a_method_without_a_common_pair_fails_even_when_partial() -> None:
    base = pd.concat([frame({}), frame({"method": "ada_sise"})])
    found = compare(base, frame({}), Limits(partial=True))
    failed = [finding for finding in found if finding.verdict == "failed"]
    assert {finding.method for finding in failed} == {"ada_sise"}
    assert {finding.check for finding in failed} >= set(QUALITY)


def test_speed_is_in_terms_of_the_plain_forward_of_the_same_run() -> None:
    base = frame({}, {"seconds": 4.0, "forwards": 20})
    machine = frame({"seconds": 6.0, "seconds_plain_forward": 0.6}, {"seconds": 12.0, "forwards": 20, "seconds_plain_forward": 0.6})  # fmt: skip  # noqa: E501
    finding = check("speed", base, machine)
    assert finding.difference == pytest.approx(0)
    assert (finding.base, finding.new) == (pytest.approx(15.0), pytest.approx(15.0))
    code = machine.assign(seconds=machine["seconds"] * 1.11)
    assert check("speed", base, code).verdict == "failed"
    assert check("speed", code, base).verdict == "passed"
    assert check("speed", base, code, Limits(slower=11.1)).verdict == "passed"


def test_more_forward_passes_are_slower_and_fewer_are_faster() -> None:
    base = frame({"seconds": 2.0, "forwards": 10})
    doubled, halved = frame({"seconds": 4.0, "forwards": 20}), frame({"seconds": 1.2, "forwards": 5})
    assert check("speed", base, doubled).verdict == "failed"
    assert check("speed", base, halved).verdict == "passed"


def test_a_limit_for_a_method_leaves_those_for_a_check_alone() -> None:
    base, new = frame({"increase": 0.0}, *[{}] * 1999), frame({"increase": 100.0}, *[{}] * 1999)
    limits = Limits(bounds=[*BOUNDS, ("sise", 1.0)])
    assert check("increase", base, new, limits).verdict == "passed"
    ebpg = frame({"ebpg": 51.5}, *[{"ebpg": 50.0}] * 1999)
    other = frame(*[{"ebpg": 50.0}] * 2000)
    assert check("ebpg", ebpg, other, limits).bound == 1.0


def test_what_the_base_never_had_is_no_new_error_and_no_new_flat_map() -> None:
    base = frame({})
    new = pd.concat([frame({}), frame({"image_id": "other", "degenerate": True})])
    assert check("degenerate", base, new).verdict == "passed"
    assert "1 new" in check("pairs", base, new).detail


def test_speed_is_skipped_and_said_so() -> None:
    untimed = frame({"seconds": None, "seconds_plain_forward": None})
    assert check("speed", frame({}), untimed).verdict == "skipped"
    assert "share_forwards" in check("speed", untimed, untimed).detail
    assert check("speed", frame({}), frame({}), Limits(untimed="another device")).detail == "another device"


PERCENTAGES = st.floats(0, 100).map(lambda value: round(value, DECIMALS))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(PERCENTAGES, PERCENTAGES), min_size=1, max_size=6), st.randoms())
def test_order_of_rows_and_columns_does_not_matter(values: list[tuple[float, float]], random: Any) -> None:
    base, new = (frame(*({"miou": pair[side]} for pair in values)) for side in (0, 1))
    expected = check("miou", base, new)
    assert expected.difference == pytest.approx(sum(b - a for a, b in values) / len(values), abs=1e-9)
    assert abs(expected.largest or 0) == pytest.approx(max(abs(b - a) for a, b in values), abs=1e-9)
    rows = list(range(len(values)))
    random.shuffle(rows)
    shuffled = check("miou", base.iloc[rows][base.columns[::-1]], new)
    assert shuffled.difference == pytest.approx(expected.difference, abs=1e-12)
    assert shuffled.verdict == expected.verdict


MADE = {"tool": {"version": "1", "commit": "abc"}, "torch": "2", "device": "cpu", "device_name": "chip",
        "precision": "fp32"}  # fmt: skip


def test_findings_for_people_programs_and_ci() -> None:
    new = frame({"ebpg": 40.0}, broken("<torn> & \x00\nsecond line"), {"maps_kept": [1]})
    found = compare(frame({}, {}, {}), new, Limits(untimed="--no-speed"))
    text = as_text(found, MADE, MADE)
    assert text.startswith("base: adasise-bench 1 (abc), torch 2, chip (cpu), fp32\n")
    lines = {line.split("  ")[0]: line for line in text.splitlines()}
    assert "FAILED: the mean differs by -5 (worse)" in lines["EBPG, %"]
    assert lines["Bbox, %"].endswith("ok")
    assert "torn" in lines["Errors"]
    assert summary(found).startswith("6 checks passed, 3 failed, 1 skipped: ebpg of sise on resnet50, ")
    tree = json.loads(as_json(found, MADE, MADE))
    assert tree["passed"] is False
    by_check = {finding["check"]: finding for finding in tree["findings"]}
    assert by_check["ebpg"]["difference"] == -5
    assert by_check["maps_kept"]["difference"] is None
    suite = ElementTree.fromstring(as_junit(found))[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("10", "3", "1")
    cases = {case.get("name"): case for case in suite}
    assert {case.get("classname") for case in suite} == {"resnet50.sise"}
    assert {name for name, case in cases.items() if case.find("failure") is not None} == {
        "ebpg", "maps_kept", "errors"
    }  # fmt: skip
    assert "<torn> &   second line" in (cases["errors"][0].get("message") or "")
    assert cases["speed"].find("skipped") is not None


def test_records_without_values_and_without_an_error_are_missing() -> None:
    nothing = dict.fromkeys(MEASURES)
    base, new = frame({}, {}, {}), frame({}, nothing, {})
    pairs = check("pairs", base, new)
    assert (pairs.verdict, pairs.detail) == (
        "failed",
        "1 missing: 1 dog; --partial allows pairs to be missing",
    )
    assert check("pairs", frame({}, nothing), frame({}, nothing)).verdict == "failed"
    assert check("pairs", new, base).verdict == "passed"


@pytest.mark.parametrize("metric", [*QUALITY[1:], "maps_kept"])
def test_a_value_that_one_of_the_two_lacks_is_a_difference(metric: str) -> None:
    whole, lacking = frame({}, {}), frame({}, {metric: None})
    free: list[tuple[str, float | None]] = [("", None)]
    for base, new in ((whole, lacking), (lacking, whole)):
        finding = check(metric, base, new, Limits(free, free))
        assert finding.verdict == "failed"
        assert "1 pair has no value in one of the two: 1 dog" in finding.detail


def test_pairs_that_an_unfinished_base_lacks_fail() -> None:
    base, new = frame({}, {}), frame({}, {}, {})
    for limits in (Limits(planned_pairs=3), Limits(planned_pairs=3, partial=True)):
        pairs = check("pairs", base, new, limits)
        assert pairs.verdict == "failed"
        assert "made of an unfinished run and lacks 1 pair" in pairs.detail
        assert check("pairs", base, base, limits).verdict == "failed"
    assert check("pairs", base, new, Limits(planned_pairs=2)).verdict == "passed"


SELECTIONS = st.none() | st.lists(st.integers(0, 2048), max_size=4)


def plainly_apart(one: list[int] | None, other: list[int] | None) -> float:
    if one is None or other is None:
        return float("nan")
    if len(one) != len(other):
        return float("inf")
    return float(sum(abs(a - b) for a, b in zip(one, other, strict=True)))


@given(st.lists(st.tuples(SELECTIONS, SELECTIONS), max_size=8), st.booleans())
def test_selections_are_compared_as_a_plain_loop_does(
    pairs: list[tuple[list[int] | None, list[int] | None]], compact: bool
) -> None:
    kind = pd.ArrowDtype(pa.list_(pa.int64())) if compact else object
    one, other = (_lists(pd.Series([pair[side] for pair in pairs], dtype=kind)) for side in (0, 1))
    np.testing.assert_array_equal(_maps_apart(one, other), [plainly_apart(*pair) for pair in pairs])
    np.testing.assert_array_equal(
        _sums(one), [float("nan") if kept is None else float(sum(kept)) for kept, _ in pairs]
    )


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_maps_are_compared_in_parts_as_at_once(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    base = frame({}, {"maps_kept": None}, broken("torn"), {"maps_kept": [7, 5]}, {"maps_kept": [1, 1]})
    new = frame({"maps_kept": [3, 5]}, {"maps_kept": None}, {}, {}, {"maps_kept": [1, 1]}).iloc[[0, 1, 2, 4]]
    expected = [finding for pair in ((base, new), (new, base)) for finding in compare(*pair, LIMITS)]
    assert {finding.check: finding.difference for finding in expected}["maps_kept"] == pytest.approx(0.5)
    monkeypatch.setattr(comparison, "_PAIRS_AT_ONCE", at_once)
    assert [finding for pair in ((base, new), (new, base)) for finding in compare(*pair, LIMITS)] == expected


def test_pairs_are_told_in_the_order_of_their_names_in_whatever_order_they_come() -> None:
    base = frame(*({"image_id": name} for name in "cbad"))
    new = base[base["image_id"] != "d"].assign(ebpg=lambda rows: rows["ebpg"] + 1)
    expected = compare(base, new, LIMITS)
    assert check("ebpg", base, new).at == "a dog"
    for order in ([3, 1, 0, 2], [2, 1, 0, 3]):
        assert compare(base.iloc[order], new.iloc[[2, 0, 1]], LIMITS) == expected
