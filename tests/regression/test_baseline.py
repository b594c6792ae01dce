"""Baselines are small, stable, read back as they were, and refuse what they cannot be compared with."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from baseline_folders import ADA_SISE, IDENTITY, RECORDS, SISE, all_of, call, run_folder

from adasise_bench.records.run import load_run
from adasise_bench.regression.baseline import Baseline, baseline_of, refuse_incomparable, why_untimed
from adasise_bench.regression.baseline_file import open_baseline, read_baseline, write_baseline
from adasise_bench.regression.values import KEY
from adasise_bench.utils.errors import ConfigError, DataError


@pytest.fixture
def made(tmp_path: Path) -> Baseline:
    return baseline_of(load_run(run_folder(tmp_path / "run")))


def test_a_baseline_reads_back_as_it_was(made: Baseline, tmp_path: Path) -> None:
    write_baseline(made, tmp_path / "base.json")
    read = read_baseline(tmp_path / "base.json")
    assert (read.identity, read.made_by) == (made.identity, made.made_by)
    for one, other in zip(*(all_of(side.values).to_dict("records") for side in (made, read)), strict=True):
        for name, value in one.items():
            plain = value.tolist() if hasattr(value, "tolist") else value
            assert (
                (pd.isna(other[name]) and pd.isna(plain))
                if plain is None or plain != plain
                else other[name] == plain
            )
    values = all_of(read.values)
    assert values["class_name"].tolist() == ["dog", "", "dog", "dog"]
    assert values["ebpg"].tolist()[2:] == [33.333333, 33.333333]
    assert values["seconds"].tolist()[2:] == [1.235, 1.235]
    assert values["seconds_plain_forward"].tolist()[2:] == [0.01235, 0.01235]
    tree = json.loads((tmp_path / "base.json").read_text())
    assert tree["means"]["resnet50"]["ada_sise"]["ebpg"] == 33.333333
    assert tree["pairs"]["image_id"] == ["1", "2", "2"]


def test_a_baseline_holds_neither_texts_nor_lists_as_objects(made: Baseline, tmp_path: Path) -> None:
    write_baseline(made, tmp_path / "base.json")
    read = all_of(read_baseline(tmp_path / "base.json").values)
    assert read.dtypes.map(str).tolist() == all_of(made.values).dtypes.map(str).tolist()
    for name in read:
        texts = name in (*KEY, "error")
        kind = "category" if texts else {"maps_kept": "list<item: int64>[pyarrow]", "degenerate": "object"}
        assert str(read[name].dtype) == (kind if texts else kind.get(str(name), "float64")), name


@pytest.mark.parametrize(("column", "cell"), [("forwards", 10**400), ("maps_kept", [10**30])])
def test_a_number_that_no_column_holds_is_damage(
    made: Baseline, tmp_path: Path, column: str, cell: Any
) -> None:
    path = tmp_path / "base.json"
    write_baseline(made, path)
    tree = json.loads(path.read_text())
    tree["values"]["resnet50"]["sise"][column][0] = cell
    path.write_text(json.dumps(tree))
    with pytest.raises(DataError, match="a number of sise is too large"):
        read_baseline(path)


def test_equal_values_give_equal_bytes_in_any_order(made: Baseline, tmp_path: Path) -> None:
    write_baseline(made, tmp_path / "one.json")
    other = run_folder(tmp_path / "other", RECORDS[::-1])
    write_baseline(baseline_of(load_run(other)), tmp_path / "other.json")
    write_baseline(read_baseline(tmp_path / "one.json"), tmp_path / "again.json")
    one = (tmp_path / "one.json").read_bytes()
    assert (tmp_path / "other.json").read_bytes() == one
    assert (tmp_path / "again.json").read_bytes() == one


def test_lists_in_pieces_give_the_same_bytes(
    made: Baseline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_baseline(made, tmp_path / "whole.json")
    monkeypatch.setattr("adasise_bench.regression.baseline_file._CELLS_AT_ONCE", 2)
    write_baseline(made, tmp_path / "pieces.json")
    assert (tmp_path / "pieces.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert json.loads((tmp_path / "pieces.json").read_text())["pairs"]["class_name"] == ["dog", "", "dog"]


def test_the_command_writes_after_the_configuration_s_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("baseline", run_folder(tmp_path / "run"))
    assert result.stdout == "results/baselines/mine.json\n"
    assert call("compare", "results/baselines/mine.json", "run", "--exact").exit_code == 0
    assert call("compare", "run", "results/baselines/mine.json", "--exact").exit_code == 0
    assert call("compare", "run", "run", "--junit", "ci/junit.xml").exit_code == 0
    assert call("baseline", "run", "--untimed", "--output", "untimed.json").exit_code == 0
    untimed = call("compare", "untimed.json", "run", "--exact")
    assert untimed.exit_code == 0
    assert "skipped: no pair has run-times in both" in untimed.stdout
    assert (tmp_path / "ci/junit.xml").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"identity": IDENTITY | {"score": "logit"}}, "score: softmax -> logit"),
        ({"identity": IDENTITY | {"methods": {"sise": SISE | {"mu": 0.3}, "ada_sise": ADA_SISE}}},
         "methods.sise.mu"),
        ({"identity": IDENTITY | {"methods": {"sise": SISE}}}, "methods.ada_sise"),
        ({"definitions": {"ebpg": "v2"}}, "definitions.ebpg: v1 -> v2"),
        ({"models": {"resnet50": {"weights_sha256": "bb", "weights_file": "x", "published": False,
                                  "maps_available": [4, 8]}}}, "weights.resnet50: aa -> bb"),
        ({"data": {"name": "VOC", "images": 2, "pairs": 2, "embedded": False, "full_images": 2,
                   "full_pairs": 2, "fingerprint": "00"}}, "pictures.sha256: ff -> 00"),
    ],
)  # fmt: skip
def test_what_cannot_be_compared_is_refused_and_named(
    tmp_path: Path, facts: dict[str, Any], named: str
) -> None:
    base, new = run_folder(tmp_path / "base"), run_folder(tmp_path / "new", **facts)
    result = call("compare", base, new, "--junit", tmp_path / "junit.xml")
    assert result.exit_code == 2
    assert named in result.stderr
    assert not (tmp_path / "junit.xml").exists()


def test_definitions_of_what_did_not_run_do_not_matter(tmp_path: Path) -> None:
    more = {"ebpg": "v1", "sise": "sise-v1", "rise": "rise-v2"}
    base = open_baseline(run_folder(tmp_path / "base", definitions=more))
    assert base.identity["definitions"] == {"ebpg": "v1", "sise": "sise-v1"}
    refuse_incomparable(
        base, open_baseline(run_folder(tmp_path / "new", definitions=more | {"rise": "rise-v3"}))
    )
    assert base.only(["ada_sise"]).identity["definitions"] == {"ebpg": "v1"}


def test_ways_of_timing_and_machines_can_be_compared(tmp_path: Path) -> None:
    free = {"share_forwards": True, "timing": {"warmup": 3}, "measures": ["deletion"]}
    other = {"identity": IDENTITY | free, "torch": "3",
             "device": "cuda", "device_name": "card", "tool": {"version": "9", "commit": None}}  # fmt: skip
    base, new = (
        open_baseline(run_folder(tmp_path / name, **facts)) for name, facts in (("base", {}), ("new", other))
    )
    refuse_incomparable(base, new)
    assert why_untimed(base, new) == "the baseline was timed on cpu, this run on cuda"
    assert why_untimed(base, base) == ""


def test_speed_is_not_compared_with_that_of_another_backend(tmp_path: Path) -> None:
    """Costs are told in plain forward passes, which are shorter with a faster backend."""
    made = {}
    for name in ("torch", "openvino", "torch-compile"):
        facts = json.loads((run_folder(tmp_path / name) / "environment.json").read_text())
        for model in facts["models"].values():
            model["engine"] = {"layout": "channels_last", "batch_size": 8, "backend": name}
        (tmp_path / name / "environment.json").write_text(json.dumps(facts))
        made[name] = open_baseline(tmp_path / name)
        assert made[name].made_by["plain_forward_by"] == dict.fromkeys(facts["models"], name)
    for name in ("openvino", "torch-compile"):
        refuse_incomparable(made["torch"], made[name])
        assert why_untimed(made["torch"], made[name]).endswith(
            f"ran by torch, this run's by {name}; set engine.backend to torch"
        )
        assert why_untimed(made[name], made[name]) == ""
    earlier = replace(made["torch"], made_by={"device": "cpu"})
    assert why_untimed(earlier, made["torch"]) == ""
    assert "by openvino" in why_untimed(earlier, made["openvino"])


def test_methods_can_be_chosen_whatever_others_the_runs_had(tmp_path: Path) -> None:
    base = run_folder(tmp_path / "base")
    facts = {"identity": IDENTITY | {"methods": {"sise": SISE, "ada_sise": ADA_SISE | {"mu": 0.5}}}}
    new = run_folder(tmp_path / "new", **facts)
    result = call("compare", base, new, "--methods", "sise")
    assert result.exit_code == 0, result.output
    assert "Ada-SISE" not in result.stdout
    mistyped = call("compare", base, new, "--methods", "sies")
    assert mistyped.exit_code == 2
    assert "did you mean 'sise'" in mistyped.stderr


def test_runs_without_a_common_pair_are_refused(made: Baseline) -> None:
    others = all_of(made.values)["image_id"].cat.categories + "x"
    elsewhere = replace(
        made,
        values=replace(
            made.values, names=made.values.names | {"image_id": pa.array(others.tolist(), pa.string())}
        ),
    )
    with pytest.raises(ConfigError, match="no pair in common"):
        refuse_incomparable(made, elsewhere)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--tolerance", "ebgp=1"), "did you mean 'ebpg'"),
        (("--bound", "ebpg=much"), "POINTS must be a number"),
        (("--bound", "-1"), "at least 0"),
        (("--tolerance", "nan"), "POINTS must be a number"),
        (("--tolerance", "inf"), "or `none`"),
    ],
)
def test_unusable_limits_end_in_one_line(tmp_path: Path, option: tuple[str, str], message: str) -> None:
    folder = run_folder(tmp_path / "run")
    result = call("compare", folder, folder, *option)
    assert result.exit_code == 2
    assert message in result.stderr


def test_unreadable_data_ends_in_exit_code_3(made: Baseline, tmp_path: Path) -> None:
    write_baseline(made, tmp_path / "base.json")
    good = (tmp_path / "base.json").read_text()
    tree = json.loads(good)
    shorter = json.loads(good)
    shorter["values"]["resnet50"]["sise"]["ebpg"].pop()
    fewer = json.loads(good)
    fewer["pairs"]["class_name"].pop()
    damaged = {
        "fewer classes": json.dumps(fewer),
        "torn": good[:300],
        "empty": "",
        "list": "[]",
        "newer": json.dumps(tree | {"format": 2}),
        "text": json.dumps(tree | {"pairs": {"image_id": [1], "class_name": ["x"]}}),
        "shorter": json.dumps(shorter),
        "nothing": json.dumps(tree | {"values": {}}),
        "not finite": good.replace("33.333333", "NaN"),
        "not text": "\udcff",
    }
    for name, text in damaged.items():
        path = tmp_path / f"{name}.json"
        path.write_bytes(text.encode("utf-8", "surrogateescape"))
        result = call("compare", path, tmp_path / "base.json")
        assert result.exit_code == 3, (name, result.output)
        assert f"{name}.json: not a baseline: " in result.stderr
        assert "Traceback" not in result.output
        assert len(result.stderr.splitlines()) == 1
    assert call("compare", tmp_path / "absent.json", tmp_path / "base.json").exit_code == 3
    (tmp_path / "bare").mkdir()
    assert call("compare", tmp_path / "base.json", tmp_path / "bare").exit_code == 3


def test_runs_that_do_not_say_what_they_are_make_no_baseline(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no records yet"):
        baseline_of(load_run(run_folder(tmp_path / "empty", [])))
    folder = run_folder(tmp_path / "old")
    facts = json.loads((folder / "environment.json").read_text())
    del facts["identity"]
    (folder / "environment.json").write_text(json.dumps(facts))
    with pytest.raises(DataError, match="does not say what was run"):
        baseline_of(load_run(folder))


def test_a_baseline_of_an_unfinished_run_says_so_and_fails(tmp_path: Path) -> None:
    whole, part = run_folder(tmp_path / "whole"), run_folder(tmp_path / "part", RECORDS[1:])
    made = call("baseline", part, "--output", tmp_path / "part.json")
    assert made.exit_code == 0
    assert "made of an unfinished run, with 3 of 4 explanations" in made.stderr
    for base in (part, tmp_path / "part.json"):
        for option in ([], ["--partial"]):
            result = call("compare", base, whole, *option)
            assert result.exit_code == 1
            assert f"base: {base} is made of an unfinished run" in result.stderr
            assert "failed" in result.stderr
            assert "pairs of sise" in result.stderr
            assert "pairs of ada_sise" not in result.stderr
    assert call("compare", whole, part, "--partial").exit_code == 0
    assert open_baseline(whole).planned_pairs is None


def test_edits_of_a_baseline_are_named(made: Baseline, tmp_path: Path) -> None:
    write_baseline(made, tmp_path / "base.json")
    good = json.loads((tmp_path / "base.json").read_text())
    edits = [("ebpg", 43.333333, "mean of ebpg of sise on resnet50 is not that of its values"),
             ("miou", 25000.0, "resnet50 sise 1 dog: miou cannot be 25000")]  # fmt: skip
    for metric, value, named in edits:
        tree = json.loads(json.dumps(good))
        tree["values"]["resnet50"]["sise"][metric][0] = value
        (tmp_path / "edited.json").write_text(json.dumps(tree))
        result = call("compare", tmp_path / "edited.json", tmp_path / "base.json")
        assert result.exit_code == 3
        assert named in result.stderr


NETWORK = {"weights_sha256": "aa", "weights_file": "x", "published": False, "maps_available": [4, 8],
           "classes": ["dog", "cat"], "blocks": ["layer4"],
           "preprocessing": {"mean": [0.5, 0.5, 0.5], "std": [1.0, 1.0, 1.0], "scale": 1}}  # fmt: skip
DATA = {"name": "VOC", "images": 2, "pairs": 2, "embedded": False, "full_images": 2, "full_pairs": 2,
        "fingerprint": "ff", "classes": ["dog", "cat"]}  # fmt: skip
TOLD: dict[str, Any] = {
    "models": {"resnet50": NETWORK},
    "data": DATA,
    "definitions": {"ebpg": "v1", "models.resnet50": "nets:two (SHA-256 of nets.py: 00)", "sise.file": "11"},
}


@pytest.mark.parametrize(
    ("facts", "named"),
    [
        ({"data": DATA | {"classes": ["cat", "dog"]}}, "data.classes.0: dog -> cat"),
        ({"models": {"resnet50": NETWORK | {"classes": ["dog", "cow"]}}},
         "models.resnet50.classes.1: cat -> cow"),
        ({"models": {"resnet50": NETWORK | {"preprocessing": NETWORK["preprocessing"] | {"scale": 255}}}},
         "models.resnet50.preprocessing.scale: 1 -> 255"),
        ({"models": {"resnet50": NETWORK | {"blocks": ["layer3"]}}}, "models.resnet50.blocks"),
        ({"definitions": TOLD["definitions"] | {"models.resnet50": "nets:two (SHA-256 of nets.py: 22)"}},
         "models.resnet50: nets:two"),
        ({"definitions": TOLD["definitions"] | {"sise.file": "33"}}, "sise.file: 11 -> 33"),
    ],
)  # fmt: skip
def test_classes_preprocessing_code_and_files_are_part_of_what_is_compared(
    tmp_path: Path, facts: dict[str, Any], named: str
) -> None:
    base = run_folder(tmp_path / "base", **TOLD)
    new = run_folder(tmp_path / "new", **(TOLD | facts))
    result = call("compare", base, new)
    assert result.exit_code == 2
    assert named in result.stderr
    earlier = run_folder(tmp_path / "earlier")
    for first, second in ((earlier, new), (new, earlier), (base, base)):
        assert call("compare", first, second).exit_code == 0
    if "sise.file" in named:
        assert call("compare", base, new, "--methods", "ada_sise").exit_code == 0
