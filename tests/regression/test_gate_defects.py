"""Every planted defect turns the gate red and is named; an undisturbed run passes to the last digit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner, Result
from gate import CountingClock, small_run

from adasise_bench.cli import main
from adasise_bench.data import dataset
from adasise_bench.data.boxes import box_mask
from adasise_bench.methods import masking
from adasise_bench.methods.masking import score_masks
from adasise_bench.methods.sise import sise
from adasise_bench.methods.sise.selectors import printed_criterion, threshold
from adasise_bench.models import classifier


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The baseline file of an undisturbed run."""
    folder = tmp_path_factory.mktemp("clean")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        small_run(folder / "run", patch)
    call("baseline", folder / "run", "--output", folder / "base.json")
    return folder / "base.json"


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def failed_checks(baseline: Path, folder: Path) -> set[tuple[str, str]]:
    """What the gate says is wrong with a run, as (method, check)."""
    result = call("compare", baseline, folder, "--format", "json")
    found = json.loads(result.stdout)["findings"]
    failed = {(finding["method"], finding["check"]) for finding in found if finding["verdict"] == "failed"}
    assert result.exit_code == (1 if failed else 0)
    assert all(f"{check} of {method}" in result.stderr for method, check in failed)
    return failed


def test_an_undisturbed_run_passes_to_the_last_digit_on_a_slower_machine(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_run(tmp_path / "run", monkeypatch, CountingClock(7e-3))
    result = call("compare", baseline, tmp_path / "run", "--exact", "--slower", "0.1")
    assert result.exit_code == 0, result.output
    assert "20 checks passed, 0 failed, 0 skipped" in result.stderr


def selector_off_by_one(patch: pytest.MonkeyPatch) -> None:
    def next_value(values: torch.Tensor, selector: str, mu: float = 0.0) -> float:
        positive = values[values > 0].sort().values
        if selector == "fixed" or len(positive) <= 2:
            return threshold(values, "fixed", mu)
        return float(positive[printed_criterion(positive).argmax() + 1])

    patch.setattr(sise, "threshold", next_value)


def boxes_shifted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dataset, "box_mask", lambda *given: box_mask(*given).roll(1, dims=1))


def boxes_swapped(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(dataset, "box_mask", lambda *given: box_mask(*given).T)


def sigmoid_for_softmax(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(classifier, "psi", lambda outputs, _score: outputs.float().sigmoid())


def softmax_left_out(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(classifier, "psi", lambda outputs, _score: outputs.float())


def masks_normalised_globally(patch: pytest.MonkeyPatch) -> None:
    def build(maps: torch.Tensor, size: tuple[int, int]) -> tuple[torch.Tensor, torch.Tensor]:
        masks = F.interpolate(maps[:, None], size, mode="bilinear", align_corners=False)[:, 0]
        span = masks.max() - masks.min()
        return (masks - masks.min()) / span, span.expand(len(masks))

    patch.setattr(masking, "build_masks", build)


@pytest.mark.parametrize(
    ("plant", "named", "unharmed"),
    [
        (selector_off_by_one, {("ada_sise", "maps_kept")}, {"sise"}),
        (boxes_shifted, {("sise", "ebpg"), ("ada_sise", "ebpg")}, {"drop", "increase", "maps_kept"}),
        (boxes_swapped, {("sise", "ebpg"), ("sise", "bbox")}, {"drop", "increase", "maps_kept"}),
        (sigmoid_for_softmax, {("sise", "drop"), ("ada_sise", "drop")}, {"maps_kept", "errors"}),
        (masks_normalised_globally, {("sise", "ebpg"), ("ada_sise", "ebpg")}, {"maps_kept", "pairs"}),
    ],
)  # fmt: skip
def test_a_planted_defect_is_caught_and_named(
    baseline: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None],
    named: set[tuple[str, str]],
    unharmed: set[str],
) -> None:
    plant(monkeypatch)
    small_run(tmp_path / "run", monkeypatch)
    failed = failed_checks(baseline, tmp_path / "run")
    assert named <= failed
    assert not [words for words in failed if unharmed & set(words)]


def test_scores_that_no_softmax_gives_are_no_records_to_compare(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    softmax_left_out(monkeypatch)
    small_run(tmp_path / "run", monkeypatch)
    result = call("compare", baseline, tmp_path / "run")
    assert result.exit_code == 3
    assert "drop is 118.987, and can only be within 0 and 100" in result.stderr


def test_scoring_that_is_20_percent_slower_is_caught(
    baseline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = CountingClock()

    def slower(*given: Any) -> Any:
        start = clock.now
        scored = score_masks(*given)
        clock.now += 0.2 * (clock.now - start)
        return scored

    monkeypatch.setattr(sise, "score_masks", slower)
    small_run(tmp_path / "run", monkeypatch, clock)
    assert failed_checks(baseline, tmp_path / "run") == {("sise", "speed"), ("ada_sise", "speed")}
    for option in (["--slower", "20"], ["--no-speed"]):
        assert call("compare", baseline, tmp_path / "run", *option).exit_code == 0
