"""`adasise-bench measure`: the metrics of maps of a run, and of maps that other tools made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result
from PIL import Image
from small_runs import settings, tiny_network

from adasise_bench.cli import main
from adasise_bench.data.loading import open_dataset
from adasise_bench.metrics.registry import COMPUTED
from adasise_bench.models import load_classifier
from adasise_bench.records.reading import read_records
from adasise_bench.records.record import CHANCE
from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import control_labels
from adasise_bench.run import network, worker
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run

SIDE = 32
PAIRS = [("000001", "dog"), ("000001", "person"), ("000002", "person"), ("000003", "cat")]
MEASURED = [
    *COMPUTED,
    *CHANCE,
    "score",
    "box_share",
    "degenerate",
    "rank",
    "published_model",
    "weights",
    "error",
]
"""Columns that do not depend on who made a map."""


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tiny_network(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def config(voc_root: Path, tmp_path: Path) -> Path:
    """A file with the data and the network; its method is not one that could run."""
    path = tmp_path / "voc.yaml"
    tree = yaml.safe_load(yaml.safe_dump(settings(voc_root, save_maps=False).model_dump(mode="json")))
    path.write_text(yaml.safe_dump(tree | {"methods": ["no.such:method"]}))
    return path


@pytest.fixture
def measure(config: Path) -> Callable[..., Result]:
    def call(maps: object, *options: object, code: int = 0) -> Result:
        arguments = ["measure", str(maps), "--config", str(config), *map(str, options)]
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == code, result.output
        return result

    return call


def maps_of_any_tool(folder: Path, suffix: str = ".npy") -> dict[tuple[str, str], Any]:
    """Maps of all pairs, float64, with no two equal pixels in any."""
    dice = np.random.default_rng(5)
    maps = {pair: dice.permutation(SIDE * SIDE).reshape(SIDE, SIDE) / SIDE**2 for pair in PAIRS}
    for (image_id, class_name), values in maps.items():
        (folder / image_id).mkdir(parents=True, exist_ok=True)
        path = folder / image_id / f"{class_name}{suffix}"
        if suffix == ".npz":
            np.savez(path, values)
        elif suffix == ".png":
            Image.fromarray(np.rint(values * SIDE**2).astype(np.uint16)).save(path)
        else:
            np.save(path, values)
    return maps


def errors(folder: Path) -> dict[tuple[str, str], str]:
    records = read_records(folder)
    failed = records[records["error"].notna()]
    return {(str(row["image_id"]), str(row["class_name"])): str(row["error"]) for _, row in failed.iterrows()}


@pytest.fixture
def made(voc_root: Path, tmp_path: Path) -> Path:
    """A run folder of today's layout with the maps of two methods and of a control."""
    run(settings(voc_root, methods=["sise", {"name": "ada_sise", "label": "mine", "mu": 0.3}, "box_oracle"]),
        tmp_path / "made")  # fmt: skip
    return tmp_path / "made"


def test_the_maps_of_a_run_have_the_values_of_its_records_to_the_digit(
    measure: Callable[..., Result], made: Path, tmp_path: Path
) -> None:
    measure(made, "--output", "out")
    one, other = (
        read_records(folder)[["method", "image_id", "class_name", *MEASURED]]
        for folder in (made, tmp_path / "out")
    )
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert len(one) == 12
    assert one["ebpg"].notna().all()


def test_metrics_that_the_run_was_not_started_with_are_those_of_a_run_that_was(
    measure: Callable[..., Result], made: Path, voc_root: Path, tmp_path: Path
) -> None:
    measure(
        made / "maps", "--output", "out", "--methods", "sise", "--set", "extra_metrics=[deletion,insertion]"
    )
    run(settings(voc_root, methods=["sise"], extra_metrics=["insertion", "deletion"]), tmp_path / "whole")
    one, other = (read_records(folder)[MEASURED] for folder in (tmp_path / "whole", tmp_path / "out"))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    assert one[["insertion", "deletion"]].notna().all(axis=None)


def test_what_a_map_cost_is_not_known(measure: Callable[..., Result], made: Path, tmp_path: Path) -> None:
    measure(made, "--output", "out")
    printed = CliRunner().invoke(main, ["table", "out", "--notes", "all"]).stdout
    records = read_records(tmp_path / "out")
    cost = [column for column in records if column.startswith("seconds")]
    cost += ["forwards", "backwards", "peak_memory_mb", "maps_kept", "maps_positive", "maps_live"]
    assert records[cost].isna().all(axis=None)
    assert "neither run-times nor passes are known" in " ".join(printed.split())


def test_the_folder_says_where_its_maps_come_from(
    measure: Callable[..., Result], made: Path, tmp_path: Path
) -> None:
    measure("made", "--output", "out")
    printed = " ".join(CliRunner().invoke(main, ["table", "out", "--notes", "all"]).stdout.split())
    known = load_run(tmp_path / "out").environment["definitions"]
    digest = known["mine.maps.resnet50"]
    assert digest.startswith("SHA-256 of 4 maps: ")
    assert known["stored_map"] == "stored-map-v1"
    assert f"mine: maps from {made}/maps/resnet50/mine ({digest}), made by ada_sise, mu=0.3." in printed
    assert "options that are not the default" not in printed
    settings = yaml.safe_load((tmp_path / "out/config.yaml").read_text())
    assert [entry["folders"] for entry in settings["methods"]] == [
        {"resnet50": f"{made}/maps/resnet50/{label}"} for label in ("sise", "mine", "box_oracle")
    ]
    assert validate(settings, "again").methods[1].label == "mine"


def test_a_control_stays_a_control(measure: Callable[..., Result], made: Path, tmp_path: Path) -> None:
    measure(made, "--output", "out")
    assert control_labels([load_run(tmp_path / "out")]) == ["box_oracle"]


def test_every_command_that_reads_run_folders_accepts_the_result(
    measure: Callable[..., Result], made: Path
) -> None:
    measure(made, "--output", "out", "--set", "save_maps=true")
    for arguments in (
        ["status", "out"],
        ["table", "out", "--against", "sise"],
        ["table", "out", "--format", "json"],
        ["report", "out"],
        ["baseline", "out", "--output", "kept.json"],
        ["compare", "kept.json", "out"],
    ):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, (arguments, result.output)
    assert np.load("out/maps/resnet50/sise/000001_dog.npy").tobytes() == (
        np.load("made/maps/resnet50/sise/000001_dog.npy").tobytes()
    )


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".png"])
def test_maps_of_any_tool_get_the_values_of_a_computation_by_hand(
    measure: Callable[..., Result], voc_root: Path, tmp_path: Path, suffix: str
) -> None:
    maps = maps_of_any_tool(tmp_path / "mine", suffix)
    measure("mine", "--output", "out")
    dataset = open_dataset(settings(voc_root).data)
    records = read_records(tmp_path / "out").set_index(["image_id", "class_name"])
    assert list(records["method"].unique()) == ["mine"]
    for (image_id, class_name), values in maps.items():
        inside = dataset.annotation(image_id).inside(class_name, (SIDE, SIDE)).numpy()
        ranking = (-values).argsort(axis=None)  # of pixels that all differ
        ebpg = 100 * sum(values[inside]) / values.sum()
        bbox = 100 * inside.flatten()[ranking[: inside.sum()]].mean()
        top = np.zeros(SIDE * SIDE, bool)
        top[ranking[: SIDE * SIDE // 5]] = True
        miou = 100 * (top & inside.flatten()).sum() / (top | inside.flatten()).sum()
        record = records.loc[(image_id, class_name)]
        assert record["ebpg"] == pytest.approx(ebpg, abs=1e-4)
        assert record["bbox"] == pytest.approx(bbox, abs=1e-9)
        assert record["miou"] == pytest.approx(miou, abs=1e-9)


def test_folders_of_the_first_level_name_methods(measure: Callable[..., Result], tmp_path: Path) -> None:
    for method in ("b", "a"):
        maps_of_any_tool(tmp_path / "maps" / method)
    (tmp_path / "maps/scripts").mkdir()
    (tmp_path / "maps/scripts/make.py").touch()
    (tmp_path / "maps/.DS_Store").touch()
    said = measure("maps", "--output", "out").stderr
    assert "left out: 1 file in maps not named after a pair of the data: scripts/make.py" in said
    assert list(read_records(tmp_path / "out")["method"].unique()) == ["a", "b"]
    measure("maps", "--output", "only", "--methods", "b")
    assert list(read_records(tmp_path / "only")["method"].unique()) == ["b"]


def test_one_method_can_be_given_a_name(measure: Callable[..., Result], tmp_path: Path) -> None:
    maps_of_any_tool(tmp_path / "maps")
    measure("maps", "--method-name", "gradient-x", "--output", "out")
    assert list(read_records(tmp_path / "out")["method"].unique()) == ["gradient-x"]


def test_unusable_maps_are_errors_of_their_pairs(measure: Callable[..., Result], tmp_path: Path) -> None:
    maps = maps_of_any_tool(tmp_path / "maps")
    np.save(tmp_path / "maps/000001/dog.npy", np.full((SIDE, SIDE), np.nan))
    (tmp_path / "maps/000001/person.npy").rename(tmp_path / "maps/000001/Person.npy")
    np.save(tmp_path / "maps/000002/person.npy", np.ones((40, 60)))
    last = measure("maps", "--output", "out", code=1).stderr.splitlines()[-1]
    assert last.startswith("Error: 3 of the maps failed")
    found = errors(tmp_path / "out")
    assert list(found) == PAIRS[:3]
    assert "1024 of 1024 pixels are NaN or infinite" in found["000001", "dog"]
    assert (
        "no map 000001/person.npy (or .npz, .png); did you mean '000001/Person'?" in found["000001", "person"]
    )
    assert (
        "the map has 60x40 pixels, and the network's input has 32x32; save it in the input's size, or resize "
        "it with --resize" in found["000002", "person"]
    )
    measure("maps", "--output", "tolerated", "--set", "tolerated_errors=3")
    healthy = read_records(tmp_path / "out").iloc[3]
    assert pd.isna(healthy["error"])
    assert healthy["ebpg"] == 100  # the cat's box is the whole picture
    assert maps["000003", "cat"].shape == (SIDE, SIDE)


def test_two_maps_of_one_pair_are_an_error(measure: Callable[..., Result], tmp_path: Path) -> None:
    maps_of_any_tool(tmp_path / "maps")
    maps_of_any_tool(tmp_path / "maps", ".png")
    measure("maps", "--output", "out", code=1)
    assert "2 maps of one pair (000003/cat.npy, 000003/cat.png)" in errors(tmp_path / "out")["000003", "cat"]


def test_negative_values_are_an_error_unless_they_are_clamped(
    measure: Callable[..., Result], tmp_path: Path
) -> None:
    maps = maps_of_any_tool(tmp_path / "signed")
    for (image_id, class_name), values in maps.items():
        np.save(tmp_path / f"signed/{image_id}/{class_name}.npy", values - 0.5)
        (tmp_path / "clamped" / image_id).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"clamped/{image_id}/{class_name}.npy", np.maximum(values - 0.5, 0))
    measure("signed", "--output", "refused", code=1)
    assert "negative values, down to -0.5" in errors(tmp_path / "refused")["000001", "dog"]
    measure("signed", "--output", "one", "--negative", "clamp")
    measure("clamped", "--output", "other")
    one, other = (read_records(tmp_path / name)[MEASURED] for name in ("one", "other"))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def bilinear(values: Any, side: int) -> Any:
    """A plain loop: pixel centres at half integers, the border repeated."""
    height, width = values.shape
    resized = np.zeros((side, side))
    for row in range(side):
        for column in range(side):
            y, x = (row + 0.5) * height / side - 0.5, (column + 0.5) * width / side - 0.5
            y, x = max(y, 0.0), max(x, 0.0)
            top, left = int(y), int(x)
            bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
            above = values[top, left] * (1 - x + left) + values[top, right] * (x - left)
            below = values[bottom, left] * (1 - x + left) + values[bottom, right] * (x - left)
            resized[row, column] = above * (1 - y + top) + below * (y - top)
    return resized


def test_maps_of_another_size_are_resized_on_demand(measure: Callable[..., Result], tmp_path: Path) -> None:
    dice = np.random.default_rng(1)
    expected = {}
    for image_id, class_name in PAIRS:
        values = dice.random((40, 13))
        (tmp_path / "maps" / image_id).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"maps/{image_id}/{class_name}.npy", values)
        expected[image_id, class_name] = bilinear(values, SIDE)
    measure("maps", "--output", "out", "--resize", "--set", "save_maps=true")
    for (image_id, class_name), values in expected.items():
        kept = np.load(tmp_path / f"out/maps/resnet50/maps/{image_id}_{class_name}.npy")
        np.testing.assert_allclose(kept, values, atol=1e-6)
    printed = CliRunner().invoke(main, ["table", "out", "--notes", "all"]).stdout
    assert "resized where they had another size than the input" in " ".join(printed.split())


def test_an_interrupted_run_continues_to_the_same_values(
    measure: Callable[..., Result], made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure(made, "--output", "whole")
    real, calls = worker.measured, iter(range(100))

    def interrupted(*arguments: Any) -> Any:
        if next(calls) == 5:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(worker, "measured", interrupted)
    measure(made, "--output", "out", code=130)
    monkeypatch.setattr(worker, "measured", real)
    assert "7 maps measured, 5 kept from before" in measure(made, "--output", "out").stderr
    one, other = (read_records(tmp_path / name) for name in ("whole", "out"))
    pd.testing.assert_frame_equal(one, other, check_exact=True)


def test_verify_reads_every_picture_again(
    measure: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adasise_bench.data.known_files.SETTLED", -3600.0)
    maps_of_any_tool(tmp_path / "maps")
    measure("maps", "--output", "out")
    monkeypatch.setattr("adasise_bench.data.dataset.Dataset._read_picture", lambda *_: (bytes(32), False))
    measure("maps", "--output", "out")
    assert "holds a run with other" in measure("maps", "--output", "out", "--verify", code=5).stderr


def test_it_does_not_matter_how_the_folder_is_named(measure: Callable[..., Result], tmp_path: Path) -> None:
    maps_of_any_tool(tmp_path / "maps")
    assert "0 kept from before" in measure("maps", "--output", "out").stderr
    again = measure(tmp_path / "maps", "--output", "out").stderr
    assert "0 maps measured" in again
    assert "left out" not in again


def test_a_run_is_not_continued_with_other_maps(measure: Callable[..., Result], tmp_path: Path) -> None:
    maps_of_any_tool(tmp_path / "maps")
    measure("maps", "--output", "out")
    assert "0 maps measured, 4 kept" in measure("maps", "--output", "out").stderr
    np.save(tmp_path / "maps/000003/cat.npy", np.ones((SIDE, SIDE)))
    refused = measure("maps", "--output", "out", code=5).stderr
    assert "holds a run with other definitions.maps.maps.resnet50: SHA-256 of 4 maps" in refused


def test_shards_limits_and_settings_of_how_to_work_change_no_value(
    measure: Callable[..., Result], made: Path, tmp_path: Path
) -> None:
    measure(made, "--output", "whole")
    for shard in ("1", "2"):
        measure(made, "--output", f"part{shard}", "--shard", f"{shard}/2")
    merged = CliRunner().invoke(main, ["merge", "merged", "part1", "part2"])
    assert merged.exit_code == 0, merged.output
    measure(made, "--output", "limited", "--limit", "1")
    measure(made, "--output", "exact", "--set", "deterministic=true")
    measure(made, "--output", "shared", "--set", "share_forwards=true")
    whole = read_records(tmp_path / "whole")
    for name in ("merged", "exact", "shared"):
        pd.testing.assert_frame_equal(read_records(tmp_path / name), whole, check_exact=True)
    first = whole[whole["image_id"] == "000001"].reset_index(drop=True)
    pd.testing.assert_frame_equal(read_records(tmp_path / "limited"), first, check_exact=True)


def test_maps_of_pictures_beyond_the_limit_are_no_surplus(measure: Callable[..., Result], made: Path) -> None:
    assert "left out" not in measure(made, "--output", "out", "--limit", "1").stderr


def test_several_workers_measure_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "load_classifier", load_classifier)  # workers do not see the tiny network
    quickstart = Path(__file__).parents[2] / "configs/quickstart.yaml"
    for image_id, class_name in [("000001", "triangle"), ("000002", "cross"), ("000002", "triangle")]:
        (tmp_path / "maps" / image_id).mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"maps/{image_id}/{class_name}.npy", np.random.default_rng(2).random((96, 96)))
    common = ["measure", "maps", "--config", str(quickstart), "--limit", "2", "--output"]
    alone = CliRunner().invoke(main, [*common, "one", "--device", "cpu"])
    together = CliRunner().invoke(main, [*common, "two", "--devices", "cpu,cpu"])
    assert alone.exit_code == together.exit_code == 0, alone.output + together.output
    one, two = (read_records(tmp_path / name) for name in ("one", "two"))
    pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_a_metric_that_needs_the_method_again_is_left_out_and_said(
    measure: Callable[..., Result], made: Path, tmp_path: Path
) -> None:
    said = measure(made, "--output", "out", "--set", "extra_metrics=[head_sensitivity,insertion]").stderr
    assert "not computed: head_sensitivity, for which a method must explain every picture again" in said
    records = read_records(tmp_path / "out")
    assert records["head_sensitivity"].isna().all()
    assert records["insertion"].notna().all()


def touched(name: str) -> Callable[[Path], None]:
    def touch(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()

    return touch


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda folder: folder.rmdir(), "maps: no such folder; name a run folder with maps"),
        (lambda folder: None, "maps: holds no map; maps are IMAGE/CLASS.npy (or .npz, .png)"),
        (touched("notes.txt"), "maps: holds no map"),
        (touched("000001/Dog.npy"), "such as '000001/Dog'; did you mean '000001/dog'?"),
        (touched("sise/000001/DOG.npy"), "such as 'sise/000001/DOG'; did you mean '000001/dog'?"),
        (touched("a/b.npy"), "such as 'a/b'; maps are IMAGE/CLASS.npy"),
        (touched("000003/dog.npy"), "such as '000003/dog'; maps are"),
    ],
)
def test_a_folder_without_maps_of_pairs_ends_in_one_line(
    measure: Callable[..., Result], tmp_path: Path, fill: Callable[[Path], None], message: str
) -> None:
    (tmp_path / "maps").mkdir()
    fill(tmp_path / "maps")
    result = measure("maps", code=3)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_run_without_maps_ends_in_one_line(measure: Callable[..., Result], made: Path) -> None:
    shutil.rmtree(made / "maps")
    assert "made: a run without maps; give the run again with --save-maps" in measure("made", code=3).stderr


def test_maps_of_other_networks_are_refused(
    measure: Callable[..., Result], made: Path, tmp_path: Path
) -> None:
    both = ["--set", "models.vgg16={}"]
    assert (
        "no maps of vgg16, which the configuration names; choose with --models"
        in measure("made", *both, code=2).stderr
    )
    maps_of_any_tool(tmp_path / "maps")
    assert "choose with --models (resnet50, vgg16)" in measure("maps", *both, code=2).stderr
    measure("maps", *both, "--models", "vgg16", "--output", "out")


def test_labels_that_do_not_fit_are_refused(measure: Callable[..., Result], tmp_path: Path) -> None:
    maps_of_any_tool(tmp_path / "maps/my method")
    assert "key 'label'" in measure("maps", code=2).stderr
    (tmp_path / "maps/my method").rename(tmp_path / "maps/mine")
    assert (
        "the folders in maps name the methods (mine)" in measure("maps", "--method-name", "x", code=2).stderr
    )
    assert (
        "no maps of 'mime' in maps; did you mean 'mine'?"
        in measure("maps", "--methods", "mime", code=2).stderr
    )


def test_the_maps_are_never_moved_or_written_over(measure: Callable[..., Result], made: Path) -> None:
    before = sorted(path.name for path in made.rglob("*"))
    for output in ("made", "made/maps"):
        options = ["--output", output, "--no-resume"]
        assert "holds the maps to measure" in measure("made/maps", *options, code=5).stderr
    assert sorted(path.name for path in made.rglob("*")) == before


def test_storing_in_float16_moves_values_and_float64_does_not(
    measure: Callable[..., Result], made: Path, tmp_path: Path
) -> None:
    for dtype in ("float64", "float16"):
        shutil.copytree(made / "maps/resnet50/sise", tmp_path / dtype)
        for path in (tmp_path / dtype).iterdir():
            np.save(path, np.load(path).astype(dtype))
        measure(dtype, "--output", f"out-{dtype}")
    run_itself = read_records(made)
    wanted = run_itself[run_itself["method"] == "sise"]["ebpg"].to_numpy()
    assert (read_records(tmp_path / "out-float64")["ebpg"].to_numpy() == wanted).all()
    coarse = read_records(tmp_path / "out-float16")["ebpg"].to_numpy()
    assert (coarse != wanted).any()
    np.testing.assert_allclose(coarse, wanted, rtol=2**-10)
