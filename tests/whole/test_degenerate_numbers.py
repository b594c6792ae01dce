"""Numbers that a definition has to prepare: they are defined, counted and shown in the table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_runs import twenty_classes
from torch import nn

from adasise_bench.cli.table import tables_text
from adasise_bench.data.voc import VOC_CLASSES
from adasise_bench.models.classifier import Classifier
from adasise_bench.records.reading import read_records
from adasise_bench.run import network
from adasise_bench.run.config_file import validate
from adasise_bench.run.runner import run

MEASURES = ["ebpg", "bbox", "drop", "increase", "miou", "score"]
FIVE_BLOCKS = tuple(f"features.{layer}" for layer in (1, 2, 4, 5, 7))
"""As many as ResNet-50 has, for which the tiny network stands."""

Measure = Callable[..., tuple[pd.DataFrame, str]]


@pytest.fixture
def measure(voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Measure:
    """Runs four pairs on a tiny network that was tampered with; gives the records and the printed table."""

    def measure(tamper: Callable[[Classifier], object], *, shared: bool = False) -> tuple[pd.DataFrame, str]:
        classifier = replace(twenty_classes(), blocks=FIVE_BLOCKS)
        tamper(classifier)
        monkeypatch.setattr(network, "load_classifier", lambda *_names, **_settings: classifier)
        tree = {
            "data": {"root": str(voc_root), "input_size": 32},
            "models": {"resnet50": {}},
            "methods": ["sise", "ada_sise", {"name": "extremal_perturbation", "iterations": 3}],
            "engine": {"layout": "contiguous", "batch_size": 16},
            "save_maps": True,
            "share_forwards": shared,
        }
        run(validate(tree, "test"), tmp_path / "out")
        return read_records(tmp_path / "out"), tables_text(tmp_path / "out", "md", "all")

    return measure


def test_a_constant_picture_has_defined_numbers(measure: Measure, voc_root: Path, tmp_path: Path) -> None:
    for path in (voc_root / "VOCdevkit/VOC2007/JPEGImages").iterdir():
        Image.new("RGB", Image.open(path).size, (124, 116, 104)).save(path)
    records, text = measure(lambda _classifier: None)
    assert records["error"].isna().all()
    assert np.isfinite(records[MEASURES].to_numpy()).all()
    flat = sum(np.ptp(np.load(path)) == 0 for path in (tmp_path / "out/maps").rglob("*.npy"))
    told = f"Degenerate maps (all pixels equal): {flat}" in text
    assert told == (flat > 0)


@pytest.mark.parametrize("shared", [False, True])
def test_no_positive_gradient_in_any_block_is_a_flat_map_that_is_counted(
    measure: Measure, shared: bool
) -> None:
    records, text = measure(lambda classifier: nn.init.zeros_(classifier.module.head.weight), shared=shared)
    sise = records[records["method"].isin(["sise", "ada_sise"])]
    assert records["error"].isna().all()
    assert sise["degenerate"].all()
    assert (sise["ebpg"] == 0).all()
    assert (sise["forwards"] == 1).all()
    assert sise["maps_positive"].map(list).tolist() == [[0] * 5] * 8
    assert np.isfinite(records[MEASURES].to_numpy()).all()
    flat = int(records["degenerate"].sum())
    assert f"(all pixels equal): {flat}; in 8 of them, no block has a positive gradient." in text


def test_saturated_scores_are_counted(measure: Measure) -> None:
    def saturate(classifier: Classifier) -> None:
        with torch.no_grad():
            classifier.module.head.bias[VOC_CLASSES.index("dog")] = 1e4

    records, text = measure(saturate)
    dogs = records["class_name"] == "dog"
    assert records["error"].isna().all()
    assert (records["score"] == dogs).all()
    assert (records["increase"] == 0).all()
    assert (records["drop"] == 0).all()
    assert "3 explanations have a score of 1. Nothing can raise it, so their Increase is 0." in text
    assert "9 explanations have a score of 0 or less; by definition, their Drop is 0 or 100." in text


def test_ordinary_scores_get_no_such_note(measure: Measure) -> None:
    _records, text = measure(lambda _classifier: None)
    assert "Nothing can raise it" not in text
    assert "0 or less" not in text
    assert "positive gradient" not in text


@pytest.mark.parametrize("shared", [False, True])
def test_logits_that_are_no_numbers_are_errors_in_the_table(measure: Measure, shared: bool) -> None:
    records, text = measure(
        lambda classifier: nn.init.constant_(classifier.module.head.bias, float("nan")), shared=shared
    )
    assert records["error"].str.contains("not finite").all()
    assert records[MEASURES].isna().all(axis=None)
    assert "Errors: 12 (" in text


@pytest.mark.parametrize("shared", [False, True])
def test_scores_of_masks_that_are_no_numbers_are_errors_and_no_flat_map(
    measure: Measure, shared: bool
) -> None:
    """As half precision can give them: the picture's own score is fine, that of some masked input is not."""

    def overflow(classifier: Classifier) -> None:
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor], output: torch.Tensor) -> torch.Tensor:
            return output if len(inputs[0]) == 1 else output * float("inf")

        classifier.module.register_forward_hook(hook)

    records, text = measure(overflow, shared=shared)
    sise = records[records["method"].isin(["sise", "ada_sise"])]
    assert sise["error"].str.contains("masked inputs are not finite").all()
    assert records["degenerate"].dropna().sum() == 0
    assert "masked inputs are not finite" in text
