"""A baseline is replaced only on demand, and what cannot be compared says how it can."""

from __future__ import annotations

from pathlib import Path

import pytest
from baseline_folders import IDENTITY, RECORDS, SISE, call, record, run_folder

from adasise_bench.records.record import Key, Record
from adasise_bench.regression.baseline_file import open_baseline


def test_a_baseline_is_replaced_only_on_demand_and_after_saying_what_changes(tmp_path: Path) -> None:
    changed = [
        record("sise", "2"),
        record("sise", "1", ebpg=30.0, maps_kept=[3, 4]),
        Record(*Key("resnet50", "ada_sise", "1", "dog"), error="gone"),
        RECORDS[3],
    ]
    old = run_folder(tmp_path / "old")
    new = run_folder(tmp_path / "new", changed, torch="3", identity=IDENTITY | {"seed": 7})
    path = tmp_path / "base.json"
    assert call("baseline", old, "--output", path).stderr == ""
    before = path.read_bytes()
    refused = call("baseline", new, "--output", path)
    assert refused.exit_code == 5
    assert refused.stdout == ""
    assert path.read_bytes() == before
    *told, error = refused.stderr.splitlines()
    assert error == f"Error: {path}: exists, and is left as it is; --update replaces it"
    assert told == [
        "seed: 0 -> 7",
        "torch: 2 -> 3",
        "Ada-SISE on ResNet-50: errors: 1 -> 2",
        "SISE on ResNet-50: EBPG, %: mean 33.3333 -> 31.6667, at most -3.3333 (1 dog), of 2 pairs",
        "SISE on ResNet-50: maps kept: mean 8.0000 -> 7.5000, at most +1.0000 (1 dog), of 2 pairs",
    ]
    replaced = call("baseline", new, "--output", path, "--update")
    assert replaced.exit_code == 0
    assert replaced.stderr.splitlines() == told
    assert replaced.stdout == f"{path}\n"
    assert open_baseline(path).identity["seed"] == 7


def test_a_baseline_that_stays_the_same_says_so(tmp_path: Path) -> None:
    folder, path = run_folder(tmp_path / "run"), tmp_path / "base.json"
    call("baseline", folder, "--output", path)
    for option, code in (([], 5), (["--update"], 0)):
        again = call("baseline", folder, "--output", path, *option)
        assert (again.exit_code, again.stderr.splitlines()[0]) == (code, "no value differs")
    untimed = call("baseline", folder, "--output", path, "--update", "--untimed")
    assert untimed.stderr.splitlines() == ["run-times: removed"]


def test_methods_that_come_and_go_are_named(tmp_path: Path) -> None:
    path = tmp_path / "base.json"
    call("baseline", run_folder(tmp_path / "both"), "--output", path)
    alone = run_folder(tmp_path / "alone", RECORDS[:2], identity=IDENTITY | {"methods": {"sise": SISE}})
    told = call("baseline", alone, "--output", path).stderr
    assert "Ada-SISE on ResNet-50: removed\n" in told
    assert "SISE on ResNet-50: EBPG" not in told
    call("baseline", alone, "--output", path, "--update")
    assert "Ada-SISE on ResNet-50: added\n" in call("baseline", tmp_path / "both", "--output", path).stderr


def test_a_file_that_is_no_baseline_is_not_overwritten_either(tmp_path: Path) -> None:
    path = tmp_path / "notes.json"
    path.write_text('{"my": "notes"}')
    refused = call("baseline", run_folder(tmp_path / "run"), "--output", path)
    assert refused.exit_code == 5
    assert "not a baseline" in refused.stderr
    assert path.read_text() == '{"my": "notes"}'
    assert call("baseline", tmp_path / "run", "--output", path, "--update").exit_code == 0


@pytest.mark.parametrize(("base", "new", "side"), [("both", "alone", "BASE"), ("alone", "both", "NEW")])
def test_a_missing_method_is_named_with_the_flag_that_leaves_it_out(
    tmp_path: Path, base: str, new: str, side: str
) -> None:
    run_folder(tmp_path / "both")
    run_folder(tmp_path / "alone", RECORDS[:2], identity=IDENTITY | {"methods": {"sise": SISE}})
    result = call("compare", tmp_path / base, tmp_path / new)
    assert result.exit_code == 2
    cure = "--methods sise compares what both have"
    assert result.stderr == f"Error: cannot be compared: methods.ada_sise: only in {side}; {cure}\n"
    assert call("compare", tmp_path / base, tmp_path / new, "--methods", "sise").exit_code == 0
    asked = call("compare", tmp_path / base, tmp_path / new, "--methods", "ada_sise")
    assert asked.exit_code == 2
    assert f"--methods: {tmp_path / 'alone'}: no method 'ada_sise'" in asked.stderr


def test_what_else_differs_is_named_beside_a_missing_method(tmp_path: Path) -> None:
    base = run_folder(tmp_path / "base")
    other = IDENTITY | {"methods": {"sise": SISE}, "score": "logit"}
    result = call("compare", base, run_folder(tmp_path / "new", RECORDS[:2], identity=other))
    assert "methods.ada_sise: only in BASE; --methods sise compares what both have" in result.stderr
    assert "score: softmax -> logit; run with the same settings" in result.stderr
    none = run_folder(
        tmp_path / "none", [record("mine", "1")], identity=IDENTITY | {"methods": {"mine": SISE}}
    )
    apart = call("compare", base, none).stderr
    assert "methods.sise: only in BASE" in apart
    assert "methods.mine: only in NEW" in apart
    assert "--methods" not in apart
