"""What runs keep of the networks' scores, and the accuracy without a run, against plain forward passes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from click.testing import CliRunner, Result
from joined_frames import combine
from small_runs import settings, tiny_network, twenty_classes

from adasise_bench.cli import main
from adasise_bench.data.transforms import CAFFE, to_input
from adasise_bench.data.voc import VOC_CLASSES
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.folder_names import FINISHED, IN_FLIGHT
from adasise_bench.records.reading import read_records
from adasise_bench.records.run import load_run
from adasise_bench.reporting.tables import build_tables
from adasise_bench.run.accuracy import measure_accuracy
from adasise_bench.run.plan import make_plan
from adasise_bench.run.runner import run
from adasise_bench.utils.errors import DataError

SHOWN = {"000001": ["dog", "person"], "000002": ["person"], "000003": ["cat"]}


@pytest.fixture(autouse=True)
def network(monkeypatch: pytest.MonkeyPatch, voc_root: Path) -> None:
    """The tiny network; the person of the first picture is difficult."""
    tiny_network(monkeypatch)
    path = voc_root / "VOCdevkit/VOC2007/Annotations/000001.xml"
    path.write_text(path.read_text().replace("<difficult>0", "<difficult>1", 1))


def scores_of(root: Path, **data: Any) -> dict[str, list[float]]:
    """Ψ of every class by picture, each by a forward pass of its own."""
    dataset = make_plan(settings(root)).dataset
    classifier = twenty_classes()
    found = {}
    for image_id in SHOWN:
        picture = dataset.picture(image_id, dataset.annotation(image_id))
        image = to_input(picture, data.get("resize", "stretch"), 32, CAFFE)
        found[image_id] = classifier.reference_scores(image)[0].tolist()
    return found


def command(root: Path, tmp_path: Path, *arguments: str) -> Result:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(settings(root).model_dump(mode="json", exclude_none=True)))
    return CliRunner().invoke(main, ["accuracy", "--config", str(path), *arguments])


@pytest.mark.parametrize("shared", [False, True])
def test_one_record_of_a_picture_holds_its_scores_and_every_record_the_rank(
    voc_root: Path, tmp_path: Path, shared: bool
) -> None:
    run(settings(voc_root, share_forwards=shared), tmp_path / "out")
    scores = scores_of(voc_root)
    records = read_records(tmp_path / "out")
    whole = records.dropna(subset=["class_scores"])
    assert whole["method"].unique().tolist() == ["sise"]
    assert whole["class_name"].tolist() == ["dog", "person", "cat"]
    assert [list(one) for one in whole["class_scores"]] == list(scores.values())
    numbers = {name: VOC_CLASSES.index(name) for name in ("cat", "dog", "person")}
    assert [list(one) for one in whole["classes_annotated"]] == [
        sorted(numbers[name] for name in names) for names in SHOWN.values()
    ]
    assert [list(one) for one in whole["classes_difficult"]] == [[numbers["person"]], [], []]
    for record in records.itertuples():
        of_picture = scores[record.image_id]
        place = sorted(of_picture, reverse=True).index(of_picture[numbers[record.class_name]]) + 1
        assert record.rank == place


def test_a_run_that_was_cut_off_or_lost_its_lines_has_them_in_the_end(voc_root: Path, tmp_path: Path) -> None:
    columns = ["rank", "class_scores", "classes_annotated", "classes_difficult"]
    run(settings(voc_root), tmp_path / "whole")
    whole = read_records(tmp_path / "whole")[columns]
    folder = tmp_path / "cut"
    run(settings(voc_root), folder)
    lines = (folder / IN_FLIGHT).read_bytes().splitlines(keepends=True)
    for kept in range(len(lines) + 1):
        (folder / IN_FLIGHT).write_bytes(b"".join(lines[:kept]))
        (folder / FINISHED).unlink()
        (folder / "manifest.json").unlink()
        run(settings(voc_root), folder)
        pd.testing.assert_frame_equal(read_records(folder)[columns], whole, check_exact=True)
    (folder / IN_FLIGHT).unlink()
    run(settings(voc_root), folder)
    pd.testing.assert_frame_equal(read_records(folder)[columns], whole, check_exact=True)


def test_a_class_is_found_among_more_outputs_in_another_order(
    voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(settings(voc_root), tmp_path / "usual")
    shuffled = tuple(reversed(VOC_CLASSES))

    class Reversed(torch.nn.Module):
        """Twenty outputs from the last to the first, and one more that is always the highest."""

        def __init__(self, module: torch.nn.Module) -> None:
            super().__init__()
            self.features, self.head = module.features, module.head

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            known = self.head(self.features(x / 60).mean(dim=(2, 3))).flip(1)
            return torch.cat([known, known.amax(dim=1, keepdim=True) + 1], dim=1)

    usual = twenty_classes()
    tiny_network(monkeypatch, module=Reversed(usual.module), classes=(*shuffled, "something else"))
    run(settings(voc_root), tmp_path / "other")
    one, other = (read_records(tmp_path / name) for name in ("usual", "other"))
    assert one["rank"].tolist() == other["rank"].tolist()
    for a, b in zip(one["class_scores"].dropna(), other["class_scores"].dropna(), strict=True):
        assert np.argsort(a).tolist() == np.argsort(b).tolist()


def test_the_command_finds_what_the_table_of_a_run_shows(voc_root: Path, tmp_path: Path) -> None:
    run(settings(voc_root, methods=["grad_cam"]), tmp_path / "out")
    tables = build_tables([load_run(tmp_path / "out")]).tables
    (of_run,) = (table for table in tables if table.name == "accuracy")
    result = command(voc_root, tmp_path, "--format", "json")
    assert result.exit_code == 0, result.output
    (alone,) = json.loads(result.stdout)["tables"]
    shown = {cell["metric"]: cell["measured"] for row in alone["rows"] for cell in row["cells"]}
    assert shown == {cell.metric: cell.measured for row in of_run.rows for cell in row.cells}
    assert (shown["pictures"], shown["pairs"], shown["classes"]) == (3, 4, 3)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
@pytest.mark.parametrize("resize", ["stretch", "short-side"])
def test_batches_change_nothing(
    voc_root: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, resize: str
) -> None:
    passed: list[int] = []
    scores = Classifier.reference_scores

    def counted(self: Classifier, inputs: torch.Tensor) -> torch.Tensor:
        passed.append(len(inputs))
        return scores(self, inputs)

    monkeypatch.setattr(Classifier, "reference_scores", counted)
    config = settings(
        voc_root,
        data={"root": str(voc_root), "input_size": 32, "resize": resize},
        engine={"layout": "contiguous", "batch_size": batch_size},
    )
    tables, errors = measure_accuracy(config)
    (table,) = tables.tables
    assert passed[-1] <= batch_size
    if resize == "stretch":
        batches = {1: [1, 1, 1], 2: [2, 1], 64: [3]}[batch_size]
        assert passed[-len(batches) :] == batches
    expected = scores_of(voc_root, resize=resize)
    first = [VOC_CLASSES[int(np.argmax(expected[image_id]))] in SHOWN[image_id] for image_id in SHOWN]
    cells = {cell.metric: cell.measured for row in table.rows for cell in row.cells}
    assert cells["top1"] == pytest.approx(100 * sum(first) / 3)
    places = [
        1 + sum(other > expected[image_id][VOC_CLASSES.index(name)] for other in expected[image_id])
        for image_id, names in SHOWN.items()
        for name in names
    ]
    assert cells["top5_pairs"] == pytest.approx(100 * sum(place <= 5 for place in places) / 4)
    assert errors == 0


def test_a_picture_that_cannot_be_used_is_counted_and_ends_with_1(voc_root: Path, tmp_path: Path) -> None:
    (voc_root / "VOCdevkit/VOC2007/JPEGImages/000002.jpg").write_bytes(b"no picture")
    result = command(voc_root, tmp_path)
    assert result.exit_code == 1
    assert "Images that cannot be used: 1, for example" in result.stdout
    said = "Error: 1 of the images cannot be used; a note under the table says why of one\n"
    assert result.stderr.endswith(said)
    tolerant = command(voc_root, tmp_path, "--set", "tolerated_errors=1")
    assert tolerant.exit_code == 0, tolerant.output


def test_no_usable_picture_is_one_line(voc_root: Path, tmp_path: Path) -> None:
    for path in (voc_root / "VOCdevkit/VOC2007/JPEGImages").glob("*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"no picture can be used: .*000001"):
        measure_accuracy(settings(voc_root))
    assert command(voc_root, tmp_path).exit_code == DataError.exit_code


def test_scores_that_are_not_finite_are_one_line(
    voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = twenty_classes().module
    torch.nn.init.constant_(module.head.bias, float("nan"))
    tiny_network(monkeypatch, module=module)
    result = command(voc_root, tmp_path)
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: 000001: scores that are not finite\n")


def test_joined_runs_count_a_picture_once(voc_root: Path, tmp_path: Path) -> None:
    run(settings(voc_root, methods=["grad_cam"]), tmp_path / "one")
    run(settings(voc_root, methods=["gradient"]), tmp_path / "other")
    runs = [load_run(tmp_path / name) for name in ("one", "other")]
    assert combine(runs)["class_scores"].notna().sum() == 6
    (table,) = (table for table in build_tables(runs).tables if table.name == "accuracy")
    assert {cell.metric: cell.measured for row in table.rows for cell in row.cells}["pictures"] == 3


def test_raw_outputs_order_the_classes_as_well(voc_root: Path, tmp_path: Path) -> None:
    found = []
    for score in ("softmax", "logit"):
        tiny = replace(twenty_classes(), score=score)
        assert tiny.score == score
        run(settings(voc_root, score=score), tmp_path / score)
        found.append(read_records(tmp_path / score)["rank"].tolist())
    assert found[0] == found[1]


def test_the_accuracy_is_that_of_the_network_in_fp32(voc_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_network(monkeypatch)
    plain, _ = measure_accuracy(settings(voc_root))
    tiny_network(monkeypatch, precision="bf16")
    rounded, _ = measure_accuracy(settings(voc_root, precision="bf16"))
    assert rounded == plain
