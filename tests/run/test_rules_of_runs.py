"""Runs by other rules: their values, and that nothing joins or compares them with a run by the protocol's."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from adasise_bench.cli import main
from adasise_bench.metrics import bbox, chance, ebpg, miou
from adasise_bench.records.maps import read_map
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import Key
from adasise_bench.run.config import RunConfig
from adasise_bench.run.config_file import validate
from adasise_bench.run.plan import make_plan
from adasise_bench.run.runner import run

SIDE = 48


def config(rules: object) -> RunConfig:
    return validate(
        {
            "data": {"root": "embedded", "input_size": SIDE},
            "models": {"scenes_vgg": {}},
            "methods": ["sise"],
            "engine": {"backend": "torch", "layout": "contiguous", "batch_size": 32},
            "device": "cpu",
            "limit": 3,
            "share_forwards": True,
            "save_maps": True,
            "rules": rules,
        },
        "test",
    )


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("rules")
    for name in ("protocol", "authors-code"):
        run(config(name), root / name)
    return {name: root / name for name in ("protocol", "authors-code")}


def test_the_records_are_measured_by_the_rules(folders: dict[str, Path]) -> None:
    folder = folders["authors-code"]
    plan = make_plan(config("authors-code"))
    for row in read_records(folder).itertuples():
        key = Key(row.model, row.method, row.image_id, row.class_name)
        saliency = torch.from_numpy(read_map(folder, key))
        inside = plan.annotations[row.image_id].inside(row.class_name, (SIDE, SIDE))
        assert row.ebpg == ebpg(saliency, inside)
        assert row.bbox == bbox(saliency, inside, ties="strict")
        assert row.miou == miou(saliency, inside, ties="strict")
        assert row.chance_pixel_bbox == chance.pair_levels(inside, "strict")["chance_pixel_bbox"]
    assert plan.annotations != make_plan(config("protocol")).annotations


def _call(*arguments: object) -> str:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code != 0
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


def test_compare_and_table_refuse_runs_by_different_rules(folders: dict[str, Path]) -> None:
    said = _call("compare", *folders.values())
    assert "cannot be compared: rules.corners: minus-one -> no-minus-one" in said
    assert "rules.ties: row-major -> strict" in said
    said = _call("table", *folders.values())
    assert "differ in rules of scenes_vgg: protocol and authors-code" in said


def test_a_run_is_not_resumed_by_other_rules(folders: dict[str, Path]) -> None:
    from adasise_bench.utils.errors import OutputError

    with pytest.raises(OutputError, match=r"holds a run with other rules\.ties: row-major -> strict"):
        run(config({"ties": "strict"}), folders["protocol"])


def test_tables_say_which_rules(folders: dict[str, Path]) -> None:
    def table(name: str) -> str:
        result = CliRunner().invoke(main, ["table", str(folders[name]), "--format", "md", "--notes", "all"])
        assert result.exit_code == 0
        return result.stdout

    assert "Rules: authors-code (ties=strict, corners=no-minus-one" in table("authors-code")
    assert "bbox-topN-strict-no-minus-one-v1" in table("authors-code")
    assert "Rules:" not in table("protocol")
