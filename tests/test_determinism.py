"""What never changes a value, and what a deterministic run fixes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from test_runner import twenty_classes, values
from torch import nn

from adasise_bench import network, worker
from adasise_bench.config import RunConfig
from adasise_bench.config_file import validate
from adasise_bench.determinism import ENGINES, pair_seed
from adasise_bench.errors import ConfigError, OutputError
from adasise_bench.methods import Request
from adasise_bench.methods.sise import Sise
from adasise_bench.models import tuning, yardstick
from adasise_bench.models.classifier import Classifier
from adasise_bench.models.engine import Engine
from adasise_bench.models.pooling import MatrixAveragePool
from adasise_bench.records import read_records
from adasise_bench.runner import run

METHODS = ["sise", "ada_sise", {"name": "extremal_perturbation", "iterations": 4}]


@pytest.fixture(autouse=True)
def tiny_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "load_classifier", lambda name, **_settings: twenty_classes(name))


@pytest.fixture
def config(voc_root: Path) -> Callable[..., RunConfig]:
    def make(**changes: Any) -> RunConfig:
        tree = {
            "data": {"root": str(voc_root), "input_size": 32},
            "models": {"resnet50": {}},
            "methods": METHODS,
            "device": "cpu",
            "save_maps": True,
            "deterministic": True,
        }
        return validate(tree | changes, "test")

    return make


def assert_same(folder: Path, whole: Path) -> None:
    """Every record and map of ``folder`` is in ``whole``, to the bit."""
    part, all_of_it = values(folder), values(whole)
    keys = ["model", "method", "image_id", "class_name"]
    expected = part[keys].merge(all_of_it, on=keys)
    pd.testing.assert_frame_equal(part, expected, check_exact=True)
    for path in (folder / "maps").rglob("*.npy"):
        assert path.read_bytes() == (whole / path.relative_to(folder)).read_bytes(), path


def test_nothing_else_that_is_asked_for_changes_a_value(
    config: Callable[..., RunConfig], voc_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(), tmp_path / "whole")
    assert len(values(tmp_path / "whole")) == 12
    run(config(), tmp_path / "again")
    run(config(limit=1), tmp_path / "resumed")
    run(config(), tmp_path / "resumed")
    run(config(limit=2), tmp_path / "limit")
    run(config(methods=METHODS[::-1]), tmp_path / "order_of_methods")
    run(config(methods=["ada_sise"]), tmp_path / "subset_of_methods")
    run(config(timing={"warmup": 1}), tmp_path / "warm")
    monkeypatch.setattr(worker, "_LOOKAHEAD", 1)
    run(config(), tmp_path / "loaded_one_by_one")
    listed = voc_root / "VOCdevkit/VOC2007/ImageSets/Main/test.txt"
    listed.write_text("000003\n000001\n000002\n")
    run(config(), tmp_path / "order_of_pictures")
    for folder in set(tmp_path.iterdir()) - {voc_root, tmp_path / "whole"}:
        assert_same(folder, tmp_path / "whole")


def test_torch_is_told_while_a_deterministic_run_lasts(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setattr(tuning, "batch_seconds", lambda *_: pytest.fail("measures"))
    explain_and_measure = worker.explain_and_measure
    seen = []

    def watch(classifier: Classifier, *arguments: Any) -> Any:
        cudnn = torch.backends.cudnn
        told = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
        seen.append((*told, os.environ["CUBLAS_WORKSPACE_CONFIG"], classifier.engine))
        return explain_and_measure(classifier, *arguments)

    monkeypatch.setattr(worker, "explain_and_measure", watch)
    run(config(methods=["sise"], limit=1), tmp_path / "out")
    assert set(seen) == {(True, True, False, ":4096:8", ENGINES["cpu"])}
    assert not torch.are_deterministic_algorithms_enabled()
    assert (torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark) == (False, True)
    facts = json.loads((tmp_path / "out/environment.json").read_text())
    assert facts["deterministic"] is True
    assert Engine(**facts["models"]["resnet50"]["engine"]) == ENGINES["cpu"]


def test_pooling_without_a_repeatable_gradient_is_replaced(
    config: Callable[..., RunConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(name: str, **_settings: Any) -> Classifier:
        classifier = twenty_classes(name)
        classifier.module.features.append(nn.AdaptiveAvgPool2d((7, 7)))
        return classifier

    monkeypatch.setattr(network, "load_classifier", load)
    kinds = {
        wanted: type(
            network.load(config(deterministic=wanted), "resnet50", torch.device("cpu")).module.features[-1]
        )
        for wanted in (True, False)
    }
    assert kinds == {True: MatrixAveragePool, False: nn.AdaptiveAvgPool2d}


def test_an_algorithm_that_torch_cannot_repeat_is_a_recorded_error(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unrepeatable(*_arguments: object) -> None:
        raise RuntimeError("grid_sampler does not have a deterministic implementation, but you set. More.")

    monkeypatch.setattr(Sise, "explain", unrepeatable)
    assert run(config(methods=["sise"], limit=1), tmp_path / "out").errors == 2
    assert read_records(tmp_path / "out")["error"][0].startswith("deterministic: grid_sampler does not")


def test_sessions_that_could_differ_in_rounding_do_not_mix(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(config(limit=1, methods=["sise"]), tmp_path / "out")
    with pytest.raises(OutputError, match=r"engine\.resnet50\.batch_size: 16 -> 8"):
        run(config(methods=["sise"], engine={"batch_size": 8}), tmp_path / "out")
    with pytest.raises(OutputError, match=r"deterministic: True -> None"):
        run(config(methods=["sise"], deterministic=False), tmp_path / "out")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 77)
    with pytest.raises(OutputError, match=r"threads: \d+ -> 77"):
        run(config(methods=["sise"]), tmp_path / "out")
    plain = config(limit=1, methods=["sise"], deterministic=False)
    run(plain, tmp_path / "plain")
    monkeypatch.undo()
    monkeypatch.setattr(network, "load_classifier", lambda name, **_settings: twenty_classes(name))
    again = config(limit=1, methods=["sise"], deterministic=False, engine={"batch_size": 8})
    assert run(again, tmp_path / "plain").computed == 0


def test_what_cannot_be_deterministic_is_refused(config: Callable[..., RunConfig]) -> None:
    with pytest.raises(ConfigError, match="set share_forwards to false"):
        config(share_forwards=True)
    with pytest.raises(ConfigError, match=r"set engine\.compile to false"):
        config(engine={"compile": True})
    assert config().digest() != config(deterministic=False).digest()


def test_a_seed_follows_from_seed_picture_class_and_method() -> None:
    asked = (0, "000001", "dog", "sise")
    assert pair_seed(*asked) == 8805785238246732246
    changed = [(1, *asked[1:]), (0, "000002", *asked[2:]), (*asked[:2], None, "sise"), (*asked[:3], "rise")]
    seeds = {pair_seed(*other) for other in [asked, *changed, (0, "000001d", "og", "sise")]}
    assert len(seeds) == 6
    many = np.array([pair_seed(seed, *asked[1:]) for seed in range(2000)], dtype=np.float64) / 2**63
    assert many.min() >= 0
    assert many.max() < 1
    assert abs(many.mean() - 0.5) < 0.03


def test_methods_are_handed_the_seed_whatever_else_is_asked_for(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handed: dict[str, list[int]] = {}

    def seeds(folder: str, **changes: Any) -> list[int]:
        explain_and_measure = worker.explain_and_measure

        def watch(classifier: Classifier, request: Request, *rest: Any) -> Any:
            handed.setdefault(folder, []).append(request.seed)
            return explain_and_measure(classifier, request, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(worker, "explain_and_measure", watch)
            run(config(seed=5, save_maps=False, **changes), tmp_path / folder)
        return handed[folder]

    expected = [pair_seed(5, "000001", name, "ada_sise") for name in ("dog", "person")]
    assert seeds("one", methods=["ada_sise"], limit=1) == expected
    assert seeds("two", methods=["sise", "ada_sise"], limit=1)[2:] == expected


def test_a_yardstick_that_does_not_fit_ends_no_run(
    config: Callable[..., RunConfig], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def short_of_memory(*_: object) -> float:
        raise torch.OutOfMemoryError("planted")

    monkeypatch.setattr(yardstick, "plain_forward_seconds", short_of_memory)
    outcome = run(config(methods=["sise"]), tmp_path / "out")
    records = read_records(tmp_path / "out")
    assert outcome.errors == 0
    assert records["seconds_plain_forward"].isna().all()
    assert records["seconds"].notna().all()
